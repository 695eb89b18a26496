// @ts-check
// Values to pixels: refined, coloured, as lines. Given all it draws; knows neither models nor the viewer.

/** @import { ColourRange, Drawing, Size } from "./types.js" */

/** Of the opacity, by the magnitude. */
const POWER = 0.7;

/**
 * Values on a finer grid: monotone cubic curves through the patches' values, downwards and then across. A curve has no
 * corners and never leaves the range between two neighbours, so that there is no diamond, no box, and no ring of the
 * other sign around a bright patch. Beyond the outermost patches' centres values stay what they are there.
 * @param {Float32Array} values
 * @param {Size} grid
 * @param {Size} size
 */
export function refine(values, [rows, columns], [height, width]) {
  const down = new Float32Array(height * columns);
  for (let x = 0; x < columns; x++) curve(values, { at: x, step: columns, count: rows }, down, { at: x, step: columns, count: height });
  const result = new Float32Array(height * width);
  for (let y = 0; y < height; y++) {
    curve(down, { at: y * columns, step: 1, count: columns }, result, { at: y * width, step: 1, count: width });
  }
  return result;
}

/** @typedef {{ at: number, step: number, count: number }} Lane a row or a column of an array */

/**
 * A lane of values along a finer one (Fritsch and Carlson 1980; slopes are harmonic means, Fritsch and Butland 1984).
 * @param {Float32Array} values
 * @param {Lane} from
 * @param {Float32Array} result
 * @param {Lane} to
 */
function curve(values, from, result, to) {
  const slope = (/** @type {number} */ i) => {
    if (i <= 0 || i >= from.count - 1) return 0;
    const at = from.at + i * from.step;
    const [before, after] = [values[at] - values[at - from.step], values[at + from.step] - values[at]];
    return before * after > 0 ? (2 * before * after) / (before + after) : 0;
  };
  let patch = -1;
  let [a, b, c, d] = [0, 0, 0, 0]; // a + bt + ct² + dt³ from this patch to the next
  for (let i = 0, at = to.at; i < to.count; i++, at += to.step) {
    const place = Math.max(0, Math.min(from.count - 1, ((i + 0.5) * from.count) / to.count - 0.5));
    if (Math.floor(place) !== patch) {
      patch = Math.floor(place);
      const next = Math.min(from.count - 1, patch + 1);
      const [rise, later] = [slope(patch), slope(next)];
      a = values[from.at + patch * from.step];
      const change = values[from.at + next * from.step] - a;
      b = rise;
      c = 3 * change - 2 * rise - later;
      d = rise + later - 2 * change;
    }
    const t = place - patch;
    result[at] = a + t * (b + t * (c + t * d));
  }
}

/**
 * RGBA of values: colour and opacity both carry the magnitude, so that what is near 0 leaves the photograph as it is.
 * @param {Float32Array} values
 * @param {ColourRange} range
 * @param {Uint8Array} table RGB by 256 steps
 * @param {number} opacity
 */
export function paint(values, { low, high }, table, opacity) {
  const colours = new Uint32Array(256);
  const bytes = new Uint8Array(colours.buffer);
  for (let step = 0; step < 256; step++) {
    const strength = low < 0 ? (Math.abs(2 * step - 255) - 1) / 254 : step / 255;
    bytes.set(table.subarray(3 * step, 3 * step + 3), 4 * step);
    bytes[4 * step + 3] = Math.round(255 * opacity * strength ** POWER);
  }
  const rgba = new Uint32Array(values.length);
  const scale = 255 / (high - low);
  for (let i = 0; i < values.length; i++) {
    rgba[i] = colours[Math.max(0, Math.min(255, Math.round(scale * (values[i] - low))))];
  }
  return new Uint8ClampedArray(rgba.buffer);
}

/**
 * Keeps only lines where the magnitude is a whole number of eighths of the range, as wide wherever values are steep.
 * @param {Float32Array} values
 * @param {Size} size
 * @param {ColourRange} range
 * @param {Uint8ClampedArray} rgba
 * @param {number} opacity
 */
export function contours(values, [height, width], { high }, rgba, opacity) {
  const thickness = Math.max(1.2, height / 280);
  for (let y = 0; y < height; y++) {
    const [above, below] = [y > 0 ? -width : 0, y + 1 < height ? width : 0];
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      const eighths = (8 * values[i]) / high;
      const level = Math.round(eighths);
      const down = values[i + below] - values[i + above];
      const right = values[x + 1 < width ? i + 1 : i] - values[x > 0 ? i - 1 : i];
      const steepness = (4 * Math.sqrt(down * down + right * right)) / high; // eighths a pixel
      const pixels = Math.abs(eighths - level) / steepness;
      rgba[4 * i + 3] = level === 0 ? 0 : 255 * opacity * Math.max(0, Math.min(1, (thickness + 1) / 2 - pixels));
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
  if (drawing === "contours") contours(fine, size, range, rgba, opacity);
  canvas.getContext("2d")?.putImageData(new ImageData(rgba, width, height), 0, 0);
}

/**
 * A range as a line of 256 pixels, in the colours and the opacity that it has over a photograph.
 * @param {HTMLCanvasElement} canvas
 * @param {ColourRange} range
 * @param {{ table: Uint8Array, opacity: number }} look
 */
export function drawBar(canvas, range, { table, opacity }) {
  const ramp = Float32Array.from({ length: 256 }, (_, i) => range.low + ((range.high - range.low) * i) / 255);
  canvas.getContext("2d")?.putImageData(new ImageData(paint(ramp, range, table, opacity), 256, 1), 0, 0);
}

/**
 * The colours of a range over a photograph, by 256 steps. The magnitude goes through the bright half of a map, because
 * the dark half is what the photograph itself is: positive values through the chosen one, negative ones through a cold one.
 * @param {Record<string, Uint8Array>} tables
 * @param {string} unsigned
 * @param {ColourRange} range
 */
export function tableOf(tables, unsigned, { low }) {
  const table = new Uint8Array(3 * 256);
  for (let i = 0; i < 256; i++) {
    const step = low < 0 ? i : 128 + (i >> 1);
    const [half, place] = step < 128 ? [tables.cold, 255 - 2 * step] : [tables[unsigned], step];
    table.set(half.subarray(3 * place, 3 * place + 3), 3 * i);
  }
  return table;
}
