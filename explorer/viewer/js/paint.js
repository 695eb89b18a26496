// @ts-check
// Values to pixels: refined, coloured, as lines. Given all it draws; knows neither models nor the viewer.

/** @import { ColourRange, Drawing, Size } from "./types.js" */

/**
 * Values on a finer grid: bilinear between the patches' centres.
 * @param {Float32Array} values
 * @param {Size} grid
 * @param {Size} size
 */
export function refine(values, [rows, columns], [height, width]) {
  const result = new Float32Array(height * width);
  const steps = (/** @type {number} */ count, /** @type {number} */ length) =>
    Array.from({ length }, (_, i) => {
      const at = Math.max(0, Math.min(count - 1, ((i + 0.5) * count) / length - 0.5));
      const low = Math.floor(at);
      return [low, Math.min(count - 1, low + 1), at - low];
    });
  const across = steps(columns, width);
  steps(rows, height).forEach(([top, bottom, down], y) => {
    for (let x = 0; x < width; x++) {
      const [left, right, along] = across[x];
      const upper = values[top * columns + left] * (1 - along) + values[top * columns + right] * along;
      const lower = values[bottom * columns + left] * (1 - along) + values[bottom * columns + right] * along;
      result[y * width + x] = upper * (1 - down) + lower * down;
    }
  });
  return result;
}

/**
 * RGBA of values: colour and opacity both carry the value, so that low attention leaves the photograph as it is.
 * @param {Float32Array} values
 * @param {ColourRange} range
 * @param {Uint8Array} table RGB by 256 steps
 * @param {number} opacity
 */
export function paint(values, { low, high }, table, opacity) {
  const rgba = new Uint8ClampedArray(4 * values.length);
  const signed = low < 0;
  for (let i = 0, at = 0; i < values.length; i++, at += 4) {
    const unit = Math.max(0, Math.min(1, (values[i] - low) / (high - low)));
    const colour = 3 * Math.round(255 * unit);
    rgba[at] = table[colour];
    rgba[at + 1] = table[colour + 1];
    rgba[at + 2] = table[colour + 2];
    // Small signed values are nearly white: what a power below 1 gave them would lie on the photograph like haze.
    rgba[at + 3] = 255 * opacity * (signed ? Math.abs(2 * unit - 1) : unit ** 0.6);
  }
  return rgba;
}

/**
 * Keeps only the lines between eighths of the range.
 * @param {Float32Array} values
 * @param {Size} size
 * @param {ColourRange} range
 * @param {Uint8ClampedArray} rgba
 */
export function contours(values, [height, width], { low, high }, rgba) {
  const level = (/** @type {number} */ i) => Math.floor((8 * (values[i] - low)) / (high - low));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      const edge = (x + 1 < width && level(i) !== level(i + 1)) || (y + 1 < height && level(i) !== level(i + width));
      rgba[4 * i + 3] = edge ? 255 : 0;
    }
  }
}

/**
 * A map on a canvas `side` pixels high, or of one pixel a patch.
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} values
 * @param {Size} grid
 * @param {ColourRange} range
 * @param {{ table: Uint8Array, opacity: number, drawing: Drawing, side: number }} look
 */
export function drawMap(canvas, values, grid, range, { table, opacity, drawing, side }) {
  /** @type {Size} */
  const size = drawing === "cells" ? grid : [side, Math.max(1, Math.round((side * grid[1]) / grid[0]))];
  const [height, width] = size;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const fine = drawing === "cells" ? values : refine(values, grid, size);
  const rgba = paint(fine, range, table, opacity);
  if (drawing === "contours") contours(fine, size, range, rgba);
  canvas.getContext("2d")?.putImageData(new ImageData(rgba, width, height), 0, 0);
}

/**
 * A table of colours as a line of 256 pixels.
 * @param {HTMLCanvasElement} canvas
 * @param {Uint8Array} table
 */
export function drawTable(canvas, table) {
  const pixels = new ImageData(256, 1);
  for (let i = 0; i < 256; i++) pixels.data.set([table[3 * i], table[3 * i + 1], table[3 * i + 2], 255], 4 * i);
  canvas.getContext("2d")?.putImageData(pixels, 0, 0);
}

/**
 * The colours of a range: signed values have their own.
 * @param {Record<string, Uint8Array>} tables
 * @param {string} unsigned
 * @param {ColourRange} range
 */
export const tableOf = (tables, unsigned, { low }) => tables[low < 0 ? "diverging" : unsigned];
