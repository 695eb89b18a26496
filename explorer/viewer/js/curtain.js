// @ts-check
// Two maps over one photograph, parted by a line: the first model left of it, the second one right.

import { element } from "./dom.js";
import { drawMap, tableOf } from "./paint.js";

/** @import { Side } from "./start-types.js" */

const CURTAIN_SIDE = 168;
const SWEEP = 2600;
/** @type {Record<string, number>} */
const MOVES = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, PageDown: -0.1, PageUp: 0.1 };
/** @type {Record<string, number>} */
const EDGES = { Home: 0, End: 1 };

/** @param {(share: number) => void} slide */
export function createCurtain(slide) {
  const halves = [0, 1].map((index) => {
    const photo = element("img", { alt: "", draggable: "false" });
    const canvas = element("canvas", { "aria-hidden": "true" });
    return { photo, canvas, node: element("div", { class: `half h${index}` }, photo, canvas) };
  });
  const chips = [0, 1].map((index) => element("b", { class: `chip m${index}` }));
  const mark = element("div", { class: "mark", hidden: "" });
  const handle = element("div", { class: "handle", role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": 100 });
  const stage = element("div", { class: "stage wipe" }, ...halves.map(({ node }) => node), mark, ...chips, handle);
  let at = 0.5;
  let frame = 0;
  const rest = () => cancelAnimationFrame(frame);

  /** Shows the whole of the first model's map, then of the second one's, and ends in the middle. */
  function sweep() {
    rest();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return slide(0.5);
    const started = performance.now();
    const next = (/** @type {number} */ now) => {
      const share = Math.min(1, Math.max(0, now - started) / SWEEP);
      slide((1 + Math.sin(2 * Math.PI * share)) / 2);
      if (share < 1) frame = requestAnimationFrame(next);
    };
    frame = requestAnimationFrame(next);
  }

  const follow = (/** @type {PointerEvent} */ event) => {
    const box = stage.getBoundingClientRect();
    slide(Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)));
  };
  stage.onpointerdown = (event) => {
    event.preventDefault();
    handle.focus({ preventScroll: true });
    stage.setPointerCapture(event.pointerId);
    follow(event);
  };
  stage.onpointermove = (event) => stage.hasPointerCapture(event.pointerId) && follow(event);
  handle.onkeydown = (event) => {
    const to = EDGES[event.key] ?? at + MOVES[event.key];
    if (Number.isNaN(to)) return;
    event.preventDefault();
    slide(Math.max(0, Math.min(1, to)));
  };

  return {
    stage,
    sweep,
    rest,
    /**
     * @param {Side[]} sides
     * @param {Record<string, Uint8Array>} colours
     * @param {{ row: number, column: number } | null} patch that is outlined
     */
    paint(sides, colours, patch) {
      sides.forEach(({ name, values, grid, range, photo }, index) => {
        const table = tableOf(colours, "cividis", range);
        const side = CURTAIN_SIDE;
        drawMap(halves[index].canvas, values, grid, range, { table, opacity: 0.9, drawing: "smooth", side });
        if (halves[index].photo.src !== photo) halves[index].photo.src = photo;
        chips[index].textContent = name;
      });
      const names = sides.map(({ name }) => name);
      handle.setAttribute("aria-label", `Divider: ${names[0]} on its left, ${names[1]} on its right`);
      mark.hidden = !patch;
      if (patch) {
        const [rows, columns] = sides[0].grid;
        Object.assign(mark.style, {
          top: `${(100 * patch.row) / rows}%`,
          left: `${(100 * patch.column) / columns}%`,
          height: `${100 / rows}%`,
          width: `${100 / columns}%`,
        });
      }
    },
    /** @param {number} share */
    show(share) {
      at = share;
      stage.style.setProperty("--at", `${100 * share}%`);
      handle.setAttribute("aria-valuenow", String(Math.round(100 * share)));
      chips.forEach((chip, index) => chip.classList.toggle("faint", index ? share > 0.85 : share < 0.15));
    },
  };
}
