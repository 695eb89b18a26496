// @ts-check
// What a lesson was sent, and what of it holds where its sliders stand.

import { floatsOf, headerOf, identityOf } from "./sections.js";

/** @import { Amount, LessonPart, Slider, Slot, Stands, Words } from "./lesson-types.js" */

const MARK = "TWL1";

/** The identity of a part. */
export const partIdentity = (/** @type {Uint8Array} */ bytes) => identityOf(bytes, MARK);

/**
 * The header of a part with its sections as typed arrays.
 * @param {Uint8Array} bytes
 * @returns {LessonPart}
 */
export function unpackPart(bytes) {
  const { text, base } = headerOf(bytes, MARK);
  const part = (/** @type {{ at: number, size: number }} */ { at, size }) => bytes.subarray(base + at, base + at + size);
  return JSON.parse(text, (key, value) => {
    if (key === "floats") return floatsOf(bytes, base, value);
    return ["photo", "cividis", "cold"].includes(key) ? part(value) : value;
  });
}

/**
 * @param {Slider[]} sliders
 * @param {Record<string, number>} positions
 * @returns {Stands}
 */
export const standsOf = (sliders, positions) =>
  Object.fromEntries(
    sliders.map(({ key, values, texts }) => {
      const at = positions[key];
      return [key, { at, count: values.length, value: values[at], text: texts[at] }];
    }),
  );

/** Which entry of an array by the positions of sliders it is. */
const rowOf = (/** @type {string[]} */ by, /** @type {Stands} */ stands) =>
  by.reduce((row, key) => row * stands[key].count + stands[key].at, 0);

/**
 * The values of an amount where the sliders stand.
 * @param {Amount} amount
 * @param {Stands} stands
 */
export function amountAt(amount, stands) {
  const sum = new Float64Array(amount[0].width);
  for (const { floats, width, by, sign, times } of amount) {
    const from = rowOf(by, stands) * width;
    const factor = sign * (times === null ? 1 : stands[times].value);
    for (let i = 0; i < width; i++) sum[i] += factor * floats[from + i];
  }
  return sum;
}

const slotAt = (/** @type {Slot} */ { texts, by }, /** @type {Stands} */ stands) => texts[rowOf(by, stands)];

/**
 * @param {Words} words
 * @param {Stands} stands
 */
export const wordsAt = ({ template, slots }, stands) =>
  template.replace(/\{(\d+)\}/g, (_, slot) => slotAt(slots[Number(slot)], stands));

/** A name with the texts of sliders in it. */
export const nameAt = (/** @type {string} */ name, /** @type {Stands} */ stands) =>
  name.replace(/\{([\w-]+)\}/g, (whole, key) => stands[key]?.text ?? whole);
