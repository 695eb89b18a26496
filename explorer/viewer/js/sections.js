// @ts-check
// What the components' bytes have in common: four letters, the length of a header in JSON, the header, sections.

/** @type {Record<string, string>} */
const COMPONENTS = { TWX1: "viewer", TWL1: "lesson", TWS1: "start page" };

/**
 * The text of a header, and where its sections begin.
 * @param {Uint8Array} bytes
 * @param {string} letters of the component that it is for
 */
export function headerOf(bytes, letters) {
  const start = new Uint8Array(bytes.buffer, bytes.byteOffset, 8);
  if (String.fromCharCode(...start.subarray(0, 4)) !== letters)
    throw new Error(`A payload of the ${COMPONENTS[letters]} was expected.`);
  const base = 8 + new DataView(bytes.buffer, bytes.byteOffset + 4, 4).getUint32(0, true);
  return { text: new TextDecoder().decode(bytes.subarray(8, base)), base };
}

/**
 * The identity of what was sent, without unpacking it: the last entry of its header.
 * @param {Uint8Array} bytes
 * @param {string} letters
 */
export const identityOf = (bytes, letters) => headerOf(bytes, letters).text.match(/"id":"(\w+)"} *$/)?.[1];

/**
 * Numbers of a section, in float32.
 * @param {Uint8Array} bytes
 * @param {number} base
 * @param {{ at: number, size: number }} section
 */
export const floatsOf = (bytes, base, { at, size }) =>
  new Float32Array(bytes.slice(base + at, base + at + size).buffer);
