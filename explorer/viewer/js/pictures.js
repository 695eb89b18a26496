// @ts-check
// Five pictures from V to (2A − A²)V under one slider. They add up in their colours, so a place between two of them is
// their mixture.

import { button, element } from "./dom.js";
import { refine } from "./paint.js";

/** @import { Size } from "./types.js" */

/** Symbols, and what each step is. */
export const STEPS = [
  ["V", "values"],
  ["AV", "smoothed"],
  ["V − AV", "what it lost"],
  ["A(V − AV)", "that, smoothed"],
  ["(2A − A²)V", "twicing: both"],
];
/** Which steps have a mean similarity of their own. */
export const COUNTED = [0, 1, 4];
const LAST = STEPS.length - 1;
const PICTURE_SIDE = 126;
const HOLD = 700;
const GLIDE = 600;

/**
 * Colours of patches on a canvas, refined channel by channel.
 * @param {HTMLCanvasElement} canvas
 * @param {Uint8Array} rgb
 * @param {Size} grid
 */
export function drawColours(canvas, rgb, grid) {
  const height = PICTURE_SIDE;
  const width = Math.max(1, Math.round((height * grid[1]) / grid[0]));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pixels = new ImageData(width, height);
  pixels.data.fill(255);
  for (let channel = 0; channel < 3; channel++) {
    const values = Float32Array.from({ length: grid[0] * grid[1] }, (_, patch) => rgb[3 * patch + channel]);
    refine(values, grid, [height, width]).forEach((value, i) => (pixels.data[4 * i + channel] = Math.round(value)));
  }
  canvas.getContext("2d")?.putImageData(pixels, 0, 0);
}

/**
 * The large picture, its slider, and the five small ones with their numbers.
 * @param {(step: number) => void} slide
 */
export function createPictures(slide) {
  const canvases = STEPS.map(() => element("canvas", { "aria-hidden": "true" }));
  const symbol = element("b", { class: "chip" });
  const stage = element("div", { class: "stage scrub" }, ...canvases, symbol);
  const slider = element("input", { type: "range", min: 0, max: LAST, step: 0.01, "aria-label": "From V to (2A − A²)V" });
  const play = button({ class: "play", "aria-label": "Play from V to (2A − A²)V", title: "Play" }, "▶");
  const small = STEPS.map(() => element("canvas", { "aria-hidden": "true" }));
  const numbers = STEPS.map(() => element("span", { class: "number" }));
  const choices = STEPS.map(([name, words], step) =>
    button(
      { class: "step", onclick: () => glide(step) },
      small[step],
      element("b", {}, name),
      element("span", { class: "quiet" }, words),
      numbers[step],
    ),
  );
  const strip = element("div", { class: "strip" });
  choices.forEach((choice, step) => strip.append(...(step ? [element("i", {}, "→")] : []), choice));
  let at = 0;
  let frame = 0;

  slider.oninput = () => move(Number(slider.value));
  slider.onkeydown = (event) => {
    const [before, after] = [Math.ceil(at) - 1, Math.floor(at) + 1];
    /** @type {Record<string, number>} */
    const to = { ArrowLeft: before, ArrowDown: before, ArrowRight: after, ArrowUp: after, PageUp: after, PageDown: before };
    if (!(event.key in to)) return;
    event.preventDefault();
    move(Math.max(0, Math.min(LAST, to[event.key])));
  };
  play.onclick = () => (frame ? rest() : run());
  const follow = (/** @type {PointerEvent} */ event) => {
    const box = stage.getBoundingClientRect();
    move(Math.max(0, Math.min(LAST, LAST * (1.1 * ((event.clientX - box.left) / box.width) - 0.05))));
  };
  stage.onpointerdown = (event) => {
    stage.setPointerCapture(event.pointerId);
    follow(event);
  };
  stage.onpointermove = (event) => stage.hasPointerCapture(event.pointerId) && follow(event);

  /** @param {number} step */
  function move(step) {
    rest();
    slide(step);
  }

  function rest() {
    cancelAnimationFrame(frame);
    frame = 0;
    play.textContent = "▶";
  }

  /**
   * Calls `place` with the milliseconds since now, frame by frame, until it says that it has come to its end.
   * @param {(passed: number) => boolean} place
   */
  function animate(place) {
    rest();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return void place(Infinity);
    const started = performance.now();
    const next = (/** @type {number} */ now) => {
      frame = place(Math.max(0, now - started)) ? 0 : requestAnimationFrame(next);
      play.textContent = frame ? "❚❚" : "▶";
    };
    frame = requestAnimationFrame(next);
  }

  /** @param {number} step */
  function glide(step) {
    const from = at;
    animate((passed) => {
      const share = Math.min(1, passed / GLIDE);
      slide(from + (step - from) * eased(share));
      return share === 1;
    });
  }

  /** From the first picture to the last, resting at each. */
  function run() {
    animate((passed) => {
      const whole = Math.min(LAST, Math.floor(passed / (HOLD + GLIDE)));
      const share = Math.max(0, (passed - whole * (HOLD + GLIDE) - HOLD) / GLIDE);
      slide(whole === LAST ? LAST : whole + eased(Math.min(1, share)));
      return whole === LAST;
    });
  }

  return {
    stage,
    line: element("div", { class: "line" }, play, element("span", {}, "V"), slider, element("span", {}, "(2A − A²)V")),
    strip,
    run,
    rest,
    /**
     * @param {Uint8Array} steps of a layer
     * @param {Size} grid
     * @param {number[]} alike
     */
    paint(steps, grid, alike) {
      const size = steps.length / STEPS.length;
      canvases.forEach((canvas, step) => {
        drawColours(canvas, steps.subarray(step * size, (step + 1) * size), grid);
        Object.assign(small[step], { width: canvas.width / 2, height: canvas.height / 2 });
        small[step].getContext("2d")?.drawImage(canvas, 0, 0, canvas.width / 2, canvas.height / 2);
      });
      COUNTED.forEach((step, i) => {
        numbers[step].replaceChildren(element("i", {}, "similarity "), alike[i].toFixed(2));
        numbers[step].style.setProperty("--share", String(Math.max(0, alike[i])));
        numbers[step].title = "Mean similarity of the patches: cosine, over pairs of patches";
      });
    },
    /** @param {number} step */
    show(step) {
      at = step;
      const whole = Math.min(LAST - 1, Math.floor(step));
      canvases.forEach((canvas, i) => {
        canvas.style.opacity = String(i === whole ? 1 : i === whole + 1 ? step - whole : 0);
      });
      const near = Math.round(step);
      symbol.textContent = STEPS[near][0];
      slider.value = String(step);
      slider.setAttribute("aria-valuetext", STEPS[near].join(", "));
      choices.forEach((choice, i) => choice.setAttribute("aria-pressed", String(i === near)));
    },
  };
}

const eased = (/** @type {number} */ share) => share * share * (3 - 2 * share);
