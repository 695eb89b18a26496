// @ts-check
// The bytes that the viewer is sent; `explorer/viewer/payload.py` writes them.

/** @import { Header } from "./types.js" */

/**
 * The text of a payload's header, and where its sections begin.
 * @param {Uint8Array} bytes
 */
function headerOf(bytes) {
  const start = new Uint8Array(bytes.buffer, bytes.byteOffset, 8);
  if (String.fromCharCode(...start.subarray(0, 4)) !== "TWX1") throw new Error("A payload of the viewer was expected.");
  const base = 8 + new DataView(bytes.buffer, bytes.byteOffset + 4, 4).getUint32(0, true);
  return { text: new TextDecoder().decode(bytes.subarray(8, base)), base };
}

/**
 * The identity of a payload, without unpacking it: the last entry of its header.
 * @param {Uint8Array} bytes
 */
export const identity = (bytes) => headerOf(bytes).text.match(/"id":"(\w+)"} *$/)?.[1];

/**
 * The header of a payload, with its sections as typed arrays and blobs.
 * @param {Uint8Array} bytes
 * @returns {Header}
 */
export function unpack(bytes) {
  const { text, base } = headerOf(bytes);
  const header = JSON.parse(text);
  /** @typedef {{ at: number, size: number }} Section */
  const floats = (/** @type {Section} */ { at, size }) =>
    new Float32Array(bytes.slice(base + at, base + at + size).buffer);
  const numbers = (/** @type {Section & { scale: number }} */ { at, size, scale }) =>
    Float32Array.from(new Uint16Array(bytes.slice(base + at, base + at + size).buffer), (c) => scale * (c / 65535) ** 2);
  const codes = (/** @type {Section} */ { at, size }) => bytes.subarray(base + at, base + at + size);
  for (const model of header.models) {
    model.codes = codes(model.attention);
    model.scales = floats(model.scales);
    model.each = floats(model.each);
    model.entropies = numbers(model.entropies);
    model.distances = numbers(model.distances);
    model.rolloutErrors = floats(model.rolloutErrors);
    if (model.squares) model.squares = { codes: codes(model.squares), scales: floats(model.square_scales) };
    model.photo = codes(model.picture);
  }
  for (const name of Object.keys(header.colours)) {
    header.colours[name] = Uint8Array.from(atob(header.colours[name]), (c) => c.charCodeAt(0));
  }
  return header;
}
