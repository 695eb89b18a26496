// Two pictures on top of each other, divided by a line that the pointer drags and the keyboard moves.
// The place of the line is the handle's aria-valuenow and stays when other pictures come.
const STEPS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10 };
const ENDS = { Home: 0, End: 100 };

export default function ({ data, parentElement }) {
  const wipe = parentElement.querySelector(".wipe");
  const handle = wipe.querySelector(".handle");
  const show = (side, picture, label) => {
    const image = wipe.querySelector(picture);
    if (image.src !== data[side].source) image.src = data[side].source;
    image.alt = data[side].alt;
    wipe.querySelector(label).textContent = data[side].name;
  };
  const moveTo = (percent) => {
    const at = Math.min(100, Math.max(0, Math.round(percent)));
    wipe.style.setProperty("--at", `${at}%`);
    handle.setAttribute("aria-valuenow", String(at));
    handle.setAttribute("aria-valuetext", `${at}% ${data.before.name}, ${100 - at}% ${data.after.name}`);
  };
  const follow = (event) => {
    const box = wipe.getBoundingClientRect();
    moveTo((100 * (event.clientX - box.left)) / box.width);
  };
  wipe.onpointerdown = (event) => {
    event.preventDefault();
    handle.focus({ preventScroll: true });
    wipe.setPointerCapture(event.pointerId);
    follow(event);
  };
  wipe.onpointermove = (event) => wipe.hasPointerCapture(event.pointerId) && follow(event);
  handle.onkeydown = (event) => {
    const to = ENDS[event.key] ?? Number(handle.getAttribute("aria-valuenow")) + STEPS[event.key];
    if (Number.isNaN(to)) return;
    event.preventDefault();
    moveTo(to);
  };
  const after = wipe.querySelector(".after");
  after.onload = () => {
    wipe.style.maxWidth = `calc(75vh * ${after.naturalWidth / after.naturalHeight})`; // a tall picture fits the screen
  };
  show("before", ".before", ".left");
  show("after", ".after", ".right");
  moveTo(Number(handle.getAttribute("aria-valuenow")));
}
