// @ts-check
// The bytes that the viewer is sent; `explorer/viewer/payload.py` writes them.

import { readLayer, readRollout, readRows } from "./pieces.js";
import { floatsOf, headerOf, identityOf } from "./sections.js";

/** @import { Header } from "./types.js" */

const LETTERS = "TWX1";

/** The identity of a payload. */
export const identity = (/** @type {Uint8Array} */ bytes) => identityOf(bytes, LETTERS);

/**
 * The header of a payload, with its sections as typed arrays and blobs.
 * @param {Uint8Array} bytes
 * @returns {Header}
 */
export function unpack(bytes) {
  const { text, base } = headerOf(bytes, LETTERS);
  const header = JSON.parse(text);
  /** @typedef {{ at: number, size: number }} Section */
  const floats = (/** @type {Section} */ section) => floatsOf(bytes, base, section);
  const numbers = (/** @type {Section & { scale: number } | null} */ section) => {
    if (section === null) return null;
    const { at, size, scale } = section;
    return Float32Array.from(new Uint16Array(bytes.slice(base + at, base + at + size).buffer), (c) => scale * (c / 65535) ** 2);
  };
  const codes = (/** @type {Section} */ { at, size }) => bytes.subarray(base + at, base + at + size);
  for (const model of header.models) {
    const atRest = readRows(codes(model.rows), model);
    model.rows = new Map([[model.rest, atRest]]);
    model.matrices = model.matrices.map((/** @type {Section | null} */ part) => part && readLayer(codes(part), model));
    model.rollouts = model.rollouts.map((/** @type {Section | null} */ part) => part && readRollout(codes(part), model));
    model.each = floats(model.each);
    model.entropies = numbers(model.entropies);
    model.distances = numbers(model.distances);
    model.photo = codes(model.picture);
  }
  for (const name of Object.keys(header.colours)) {
    header.colours[name] = Uint8Array.from(atob(header.colours[name]), (c) => c.charCodeAt(0));
  }
  return header;
}
