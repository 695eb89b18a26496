// @ts-check
// Two pictures on top of each other, divided by a line that the pointer drags and the keyboard moves.
// The place of the line is the handle's aria-valuenow and stays when other pictures come.
/** @type {Record<string, number>} */
const STEPS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10 };
/** @type {Record<string, number>} */
const ENDS = { Home: 0, End: 100 };

/** @typedef {{ source: string, alt: string, name: string }} Side */

/** @param {{ data: { before: Side, after: Side }, parentElement: HTMLElement }} component */
export default function ({ data, parentElement }) {
  const wipe = /** @type {HTMLElement} */ (parentElement.querySelector(".wipe"));
  const part = (/** @type {string} */ name) => /** @type {HTMLElement} */ (wipe.querySelector(name));
  const [before, after] = [".before", ".after"].map((name) => /** @type {HTMLImageElement} */ (part(name)));
  const handle = part(".handle");
  /** @type {(image: HTMLImageElement, label: HTMLElement, side: Side) => void} */
  const show = (image, label, { source, alt, name }) => {
    if (image.src !== source) image.src = source;
    image.alt = alt;
    label.textContent = name;
  };
  const moveTo = (/** @type {number} */ percent) => {
    const at = Math.min(100, Math.max(0, Math.round(percent)));
    wipe.style.setProperty("--at", `${at}%`);
    handle.setAttribute("aria-valuenow", String(at));
    handle.setAttribute("aria-valuetext", `${at}% ${data.before.name}, ${100 - at}% ${data.after.name}`);
  };
  const follow = (/** @type {PointerEvent} */ event) => {
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
  after.onload = () => {
    wipe.style.maxWidth = `calc(75vh * ${after.naturalWidth / after.naturalHeight})`; // a tall picture fits the screen
  };
  show(before, part(".left"), data.before);
  show(after, part(".right"), data.after);
  moveTo(Number(handle.getAttribute("aria-valuenow")));
}
