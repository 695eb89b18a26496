// @ts-check
// Values to pixels: refined, coloured, as lines. Given all it draws; knows neither models nor the viewer.

/** @import { ColourRange, Drawing, Size } from "./types.js" */

/** Of the opacity, by the magnitude. */
const POWER = 0.7;
/** Where in a table colours begin: what is below is as dark or as grey as the photograph. */
const BRIGHT = 5 / 8;

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
  const downwards = placesOf(rows, height);
  for (let x = 0; x < columns; x++) curve(values, { at: x, step: columns, count: rows }, down, downwards);
  const result = new Float32Array(height * width);
  const across = placesOf(columns, width);
  for (let y = 0; y < height; y++) {
    const at = y * columns;
    curve(down, { at, step: 1, count: columns }, result.subarray(y * width, (y + 1) * width), across);
  }
  return result;
}

/**
 * Where each pixel of a line is between the patches' centres: behind which one, and how far to the next.
 * @param {number} count
 * @param {number} length
 */
function placesOf(count, length) {
  const patches = new Int32Array(length);
  const shares = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    const place = Math.max(0, Math.min(count - 1, ((i + 0.5) * count) / length - 0.5));
    patches[i] = Math.floor(place);
    shares[i] = place - patches[i];
  }
  return { patches, shares };
}

/**
 * A row or a column of values on a finer line (Fritsch and Carlson 1980; slopes are harmonic means, Fritsch and Butland
 * 1984), written into a row, or into the same column.
 * @param {Float32Array} values
 * @param {{ at: number, step: number, count: number }} line
 * @param {Float32Array} result
 * @param {ReturnType<typeof placesOf>} places
 */
function curve(values, { at, step, count }, result, { patches, shares }) {
  const slope = (/** @type {number} */ i) => {
    if (i <= 0 || i >= count - 1) return 0;
    const middle = values[at + i * step];
    const before = middle - values[at + (i - 1) * step];
    const after = values[at + (i + 1) * step] - middle;
    return before * after > 0 ? (2 * before * after) / (before + after) : 0;
  };
  let patch = -1;
  let a = 0; // a + bt + ct² + dt³ from this patch to the next
  let b = 0;
  let c = 0;
  let d = 0;
  for (let i = 0, to = step === 1 ? 0 : at; i < patches.length; i++, to += step) {
    if (patches[i] !== patch) {
      patch = patches[i];
      const next = Math.min(count - 1, patch + 1);
      a = values[at + patch * step];
      const change = values[at + next * step] - a;
      b = slope(patch);
      const later = slope(next);
      c = 3 * change - 2 * b - later;
      d = b + later - 2 * change;
    }
    const t = shares[i];
    result[to] = a + t * (b + t * (c + t * d));
  }
}

/**
 * RGBA of the 256 steps of a range: colour and opacity both carry the magnitude, so that what is near 0 leaves the
 * photograph as it is.
 * @param {ColourRange} range
 * @param {Uint8Array} table RGB by 256 steps
 * @param {number} opacity
 */
function stepsOf({ low }, table, opacity) {
  const steps = new Uint32Array(256);
  const bytes = new Uint8Array(steps.buffer);
  for (let step = 0; step < 256; step++) {
    const strength = low < 0 ? (Math.abs(2 * step - 255) - 1) / 254 : step / 255;
    bytes.set(table.subarray(3 * step, 3 * step + 3), 4 * step);
    bytes[4 * step + 3] = Math.round(255 * opacity * strength ** POWER);
  }
  return steps;
}

/**
 * RGBA of values.
 * @param {Float32Array} values
 * @param {ColourRange} range
 * @param {Uint8Array} table RGB by 256 steps
 * @param {number} opacity
 */
export function paint(values, range, table, opacity) {
  const steps = stepsOf(range, table, opacity);
  const rgba = new Uint32Array(values.length);
  const scale = 255 / (range.high - range.low);
  const first = 0.5 - scale * range.low;
  for (let i = 0; i < values.length; i++) {
    const step = scale * values[i] + first;
    rgba[i] = steps[step < 0 ? 0 : step > 255 ? 255 : step | 0];
  }
  return new Uint8ClampedArray(rgba.buffer);
}

/**
 * RGBA of lines where the magnitude is a whole number of eighths of the range, as wide wherever values are steep.
 * @param {Float32Array} values
 * @param {Size} size
 * @param {ColourRange} range
 * @param {Uint8Array} table RGB by 256 steps
 * @param {number} opacity
 */
export function contours(values, [height, width], { low, high }, table, opacity) {
  const rgba = new Uint8ClampedArray(4 * values.length);
  const half = Math.max(1.2, height / 280) / 2; // of a line's width
  const eighths = 8 / high;
  for (let y = 0; y < height; y++) {
    const [above, below] = [y > 0 ? -width : 0, y + 1 < height ? width : 0];
    for (let x = 0, i = y * width; x < width; x++, i++) {
      const level = Math.round(eighths * values[i]);
      if (level === 0) continue;
      const down = values[i + below] - values[i + above];
      const right = values[x + 1 < width ? i + 1 : i] - values[x > 0 ? i - 1 : i];
      const steepness = (eighths / 2) * Math.sqrt(down * down + right * right); // a pixel
      const pixels = Math.abs(eighths * values[i] - level) / steepness;
      if (!(pixels < half + 0.5)) continue;
      const colour = 3 * Math.max(0, Math.min(255, Math.round((255 * (values[i] - low)) / (high - low))));
      for (let channel = 0; channel < 3; channel++) rgba[4 * i + channel] = table[colour + channel];
      rgba[4 * i + 3] = 255 * opacity * Math.min(1, half + 0.5 - pixels);
    }
  }
  return rgba;
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
  const rgba =
    drawing === "contours"
      ? contours(fine, size, range, table, opacity)
      : paint(fine, range, table, opacity);
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
 * The colours of a range over a photograph, by 256 steps: of positive values the bright part of a map, of negative ones a
 * cold one, both outwards from 0.
 * @param {Record<string, Uint8Array>} tables
 * @param {string} unsigned
 * @param {ColourRange} range
 */
export function tableOf(tables, unsigned, { low }) {
  const table = new Uint8Array(3 * 256);
  for (let i = 0; i < 256; i++) {
    const unit = low < 0 ? (2 * i - 255) / 255 : i / 255;
    const [colours, share] = unit < 0 ? [tables.cold, -unit] : [tables[unsigned], BRIGHT + (1 - BRIGHT) * unit];
    const at = 3 * Math.round(255 * share);
    table.set(colours.subarray(at, at + 3), 3 * i);
  }
  return table;
}
