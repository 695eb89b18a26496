// @ts-check
// The two large maps, each over its photograph, with the query and the pointer's patch outlined.

import { middleOf, patchAt } from "./arithmetic.js";
import { element } from "./dom.js";
import { drawMap, tableOf } from "./paint.js";

/** @import { Drawing, Picture, Place, Size, State } from "./types.js" */

/** Pixels of a map's height at most: a smooth one is no finer for more, and lines stay within the time of two frames. */
const FINEST = { smooth: 336, cells: 0, contours: 768 };

/**
 * A place for a map, and what draws into it.
 * @param {Record<string, Uint8Array>} colours
 * @param {string[]} photos addresses, by model
 * @param {{ over(place: Place): void, out(): void, click(place: Place): void }} pointer
 * @param {() => void} resized
 */
export function createMap(colours, photos, pointer, resized) {
  const photo = element("img", { alt: "", draggable: "false" });
  const canvas = element("canvas", { "aria-hidden": "true" });
  const query = element("div", { class: "outline" });
  const cursor = element("div", { class: "outline cursor" });
  const stack = element("div", { class: "stack" }, photo, canvas, query, cursor);
  const name = element("strong");
  const label = element("span", { class: "quiet" });
  const figure = element("figure", {}, element("figcaption", {}, name, label), stack);
  /** @type {Size} of the model that was drawn last */
  let grid = [1, 1];
  /** @type {Drawing} of the last map */
  let drawn = "smooth";
  let height = FINEST.smooth;
  const sideOf = (/** @type {Drawing} */ drawing) => Math.min(FINEST[drawing], Math.round(height * devicePixelRatio));
  const observer = new ResizeObserver(([{ contentRect }]) => {
    const before = sideOf(drawn);
    height = Math.max(1, contentRect.height);
    if (sideOf(drawn) !== before) resized();
  });
  observer.observe(stack);

  const placeOf = (/** @type {MouseEvent} */ event) => {
    const box = stack.getBoundingClientRect();
    const { row, column } = patchAt(grid, [
      (event.clientY - box.top) / box.height,
      (event.clientX - box.left) / box.width,
    ]);
    return middleOf(grid, row, column);
  };
  stack.onpointermove = (event) => pointer.over(placeOf(event));
  stack.onpointerdown = stack.onpointermove;
  stack.onpointerleave = pointer.out;
  stack.onclick = (event) => pointer.click(placeOf(event));

  return {
    figure,
    /**
     * @param {Picture} picture
     * @param {State} state
     */
    draw(picture, { colours: unsigned, opacity, drawing, place }) {
      const { model, index, range } = picture;
      grid = model.grid;
      const table = tableOf(colours, unsigned, range);
      drawn = drawing;
      drawMap(canvas, picture.values, grid, range, { table, opacity, drawing, side: sideOf(drawing) });
      canvas.classList.toggle("sharp", drawing === "cells");
      name.textContent = picture.name;
      label.textContent = picture.label;
      figure.className = `map m${index}${picture.isDifference ? " change" : ""}${model.counterfactual ? " swapped" : ""}`;
      if (photo.src !== photos[index]) photo.src = photos[index];
      stack.style.aspectRatio = `${model.input[1]} / ${model.input[0]}`;
      outline(query, grid, place);
    },
    forget: () => observer.disconnect(),
    /** @param {Place | null | undefined} place the patch under the pointer */
    mark(place) {
      outline(cursor, grid, place);
    },
  };
}

/**
 * @param {HTMLElement} box
 * @param {Size} grid
 * @param {Place | null | undefined} place none hides it
 */
function outline(box, grid, place) {
  box.hidden = !place;
  if (!place) return;
  const { row, column } = patchAt(grid, place);
  Object.assign(box.style, {
    top: `${(100 * row) / grid[0]}%`,
    left: `${(100 * column) / grid[1]}%`,
    height: `${100 / grid[0]}%`,
    width: `${100 / grid[1]}%`,
  });
}
