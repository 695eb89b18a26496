// @ts-check
// A square over a photograph, dragged, resized at its corner or moved by keys; where it comes to rest is `part`.

/** @typedef {{ top: number, left: number, side: number }} Square in pixels of the photograph */

const LEAST = 0.1; // of the shorter side
const REST = 400; // ms after a key
const HIGHEST = 240; // px

/** @type {Record<string, [number, number]>} */
const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/**
 * @param {{
 *   data: { picture: string, size: [number, number], part: [number, number, number, number] | null },
 *   parentElement: HTMLElement,
 *   setTriggerValue(name: string, value: unknown): void,
 * }} component
 */
export default function ({ data, parentElement, setTriggerValue }) {
  const root = /** @type {HTMLElement} */ (parentElement.querySelector(".crop"));
  const [height, width] = data.size;
  const short = Math.min(height, width);
  const [top, left, bottom] = data.part ?? [0, 0, 1];
  /** @type {Square} */
  let square = data.part
    ? { top: top * height, left: left * width, side: (bottom - top) * height }
    : { top: (height - short) / 2, left: (width - short) / 2, side: short };
  let timer = 0;

  const { activeElement } = /** @type {Document | ShadowRoot} */ (root.getRootNode());
  const hadFocus = root.contains(activeElement);
  const picture = document.createElement("img");
  const box = document.createElement("div");
  const corner = document.createElement("div");
  picture.src = data.picture;
  picture.alt = "";
  picture.draggable = false;
  box.className = "box";
  box.tabIndex = 0;
  box.setAttribute("role", "application");
  corner.className = "corner";
  box.append(corner);
  root.style.aspectRatio = `${width} / ${height}`;
  root.style.width = `min(100%, ${(HIGHEST * width) / height}px)`;
  root.replaceChildren(picture, box);
  if (hadFocus) box.focus({ preventScroll: true });

  const within = (/** @type {number} */ value, /** @type {number} */ most) => Math.max(0, Math.min(most, value));
  const share = (/** @type {number} */ value) => within(value, 1).toFixed(4);

  /** @param {Partial<Square>} change */
  function set(change) {
    const next = { ...square, ...change };
    const most = "side" in change ? Math.min(height - next.top, width - next.left) : short;
    const side = Math.min(most, Math.max(LEAST * short, next.side));
    square = { top: within(next.top, height - side), left: within(next.left, width - side), side };
    draw();
  }

  function draw() {
    const { top, left, side } = square;
    box.style.top = `${(100 * top) / height}%`;
    box.style.left = `${(100 * left) / width}%`;
    box.style.width = `${(100 * side) / width}%`;
    box.style.height = `${(100 * side) / height}%`;
    const percent = (/** @type {number} */ part, /** @type {number} */ all) => Math.round((100 * part) / all);
    box.setAttribute(
      "aria-label",
      `Part that the models see: ${percent(top, height)} to ${percent(top + side, height)}% down, ` +
        `${percent(left, width)} to ${percent(left + side, width)}% across. Arrow keys move it, plus and minus resize it.`,
    );
  }

  function rest() {
    const { top, left, side } = square;
    const ends = [top / height, left / width, (top + side) / height, (left + side) / width];
    setTriggerValue("part", ends.map(share).join(","));
  }

  box.onpointerdown = (event) => {
    event.preventDefault();
    box.focus({ preventScroll: true });
    box.setPointerCapture(event.pointerId);
    const scale = width / root.clientWidth;
    const start = { ...square, x: event.clientX, y: event.clientY };
    const resizes = event.composedPath()[0] === corner;
    box.onpointermove = ({ clientX, clientY }) => {
      const right = (clientX - start.x) * scale;
      const down = (clientY - start.y) * scale;
      if (resizes) set({ side: start.side + Math.max(right, down) });
      else set({ top: start.top + down, left: start.left + right });
    };
    box.onlostpointercapture = () => {
      box.onpointermove = box.onlostpointercapture = null;
      rest();
    };
  };
  box.onkeydown = (event) => {
    const [down, right] = MOVES[event.key] ?? [0, 0];
    const larger = event.key === "+" || event.key === "=" ? 1 : event.key === "-" ? -1 : 0;
    if (!(down || right || larger)) return;
    event.preventDefault();
    event.stopPropagation();
    const step = (event.shiftKey && !larger ? 0.1 : 0.02) * short;
    if (larger) set({ side: square.side + larger * step });
    else set({ top: square.top + down * step, left: square.left + right * step });
    clearTimeout(timer);
    timer = setTimeout(rest, REST);
  };
  draw();
  return () => clearTimeout(timer);
}
