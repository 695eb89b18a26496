// @ts-check
// The parts of attention that come by themselves: what their bytes say (`explorer/viewer/pieces.py` writes them), which
// ones a state needs, and who fetches them, the nearest first and no more than the browser has room for.

import { isThere } from "./arithmetic.js";
import { depthOf, queryOf } from "./state.js";

/** @import { Codes, Model, Piece, PieceKind, Rows, Signed, State } from "./types.js" */

const BUDGET = 150e6; // bytes of matrices, beside what browsers need for themselves
const LARGEST = 16e6; // bytes of a layer; of larger ones the rows of single queries come
const AT_ONCE = 2;
const KEPT_ROWS = 8;
const AGAIN = 2000; // ms until what failed is asked for again

/**
 * Codes of one byte with the scales of their rows.
 * @param {Model} model
 * @param {Uint8Array} bytes
 * @param {Float32Array} scales
 * @returns {Codes}
 */
const codesOf = ({ hasSigns }, bytes, scales) => ({
  scales,
  codes: hasSigns ? new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length) : bytes,
  steps: hasSigns ? 127 : 255,
});

/**
 * A layer's matrices of every head: scales, then codes.
 * @param {Uint8Array} bytes
 * @param {Model} model
 */
export function readLayer(bytes, model) {
  const lines = model.heads * model.tokens;
  return codesOf(model, bytes.subarray(4 * lines), new Float32Array(bytes.slice(0, 4 * lines).buffer));
}

/**
 * A layer's rollout.
 * @param {Uint8Array} bytes
 * @param {Model} model
 * @returns {Signed}
 */
export const readRollout = (bytes, { tokens }) => ({
  scales: new Float32Array(bytes.slice(0, 4 * tokens).buffer),
  codes: new Int16Array(bytes.slice(4 * tokens).buffer),
});

/**
 * A query's rows in every layer.
 * @param {Uint8Array} bytes
 * @param {Model} model
 * @returns {Rows}
 */
export function readRows(bytes, model) {
  const { layers, heads, tokens } = model;
  const lines = layers * heads;
  const floats = new Float32Array(bytes.slice(0, 4 * (2 * lines + layers * tokens)).buffer);
  const codes = bytes.subarray(floats.byteLength);
  return {
    attention: codesOf(model, codes.subarray(0, lines * tokens), floats.subarray(0, lines)),
    squares: codesOf(model, codes.subarray(lines * tokens), floats.subarray(lines, 2 * lines)),
    rollout: floats.subarray(2 * lines),
  };
}

/** @type {Record<PieceKind, (model: Model, at: number, bytes: Uint8Array) => void>} */
const TAKES = {
  rows: (model, at, bytes) => {
    const [, second] = model.rows.keys(); // the first is the query at rest
    if (model.rows.size >= KEPT_ROWS) model.rows.delete(second);
    model.rows.set(at, readRows(bytes, model));
  },
  layer: (model, at, bytes) => (model.matrices[at] = readLayer(bytes, model)),
  rollout: (model, at, bytes) => (model.rollouts[at] = readRollout(bytes, model)),
};

/**
 * Whether both models can draw a layer for the state's query.
 * @param {State} state
 * @param {Model[]} models
 * @param {number} layer
 */
export const areThere = (state, models, layer) =>
  models.every((model) => isThere(model, Math.min(layer, model.layers - 1), queryOf(state, model), state.matrix));

/** @param {Model} model */
const bytesOfLayer = ({ heads, tokens }) => heads * tokens * (tokens + 4);
/** @param {Model} model */
const bytesOfRollout = ({ tokens }) => tokens * (2 * tokens + 4);

/**
 * What a state needs that is not there, the most urgent first, as far as there is room; and the layers to be kept.
 * @param {State} state
 * @param {Model[]} models
 */
export function wantedOf(state, models) {
  const depth = depthOf(models);
  const nearest = Array.from({ length: depth }, (_, l) => l).sort(
    (a, b) => Math.abs(a - state.layer) - Math.abs(b - state.layer),
  );
  /** @type {Piece[]} */
  const wanted = [];
  const kept = new Set();
  let room = BUDGET;
  const isLarge = models.some((model) => bytesOfLayer(model) > LARGEST);
  models.forEach((model, of) => {
    const query = queryOf(state, model);
    if (isLarge && !model.rows.has(query)) wanted.push({ of, kind: "rows", at: query });
  });
  for (const layer of isLarge ? [] : nearest) {
    room -= models.reduce((sum, model) => sum + bytesOfLayer(model) + bytesOfRollout(model), 0);
    if (room < 0 && layer !== state.layer) break;
    kept.add(layer);
    models.forEach((model, of) => {
      if (state.matrix === "rollout" && !model.rollouts[layer]) wanted.push({ of, kind: "rollout", at: layer });
    });
    models.forEach((model, of) => {
      if (!model.matrices[layer]) wanted.push({ of, kind: "layer", at: layer });
    });
  }
  return { wanted, kept };
}

/**
 * Fetches what a state needs; `arrived` is called for each piece, `failed` with a sentence, or null when it goes on.
 * @param {Model[]} models
 * @param {string} address under which the pieces are
 * @param {(piece: Piece) => void} arrived
 * @param {(sentence: string | null) => void} failed
 */
export function createLoader(models, address, arrived, failed) {
  /** @type {Map<string, AbortController>} what is on its way */
  const coming = new Map();
  /** @type {Piece[]} */
  let wanted = [];
  let again = 0;
  const pathOf = (/** @type {Piece} */ { of, kind, at }) => `${of}/${kind}/${at}`;

  /** @param {State} state */
  function want(state) {
    const needed = wantedOf(state, models);
    wanted = needed.wanted;
    for (const model of models)
      for (let layer = 0; layer < model.layers; layer++)
        if (!needed.kept.has(layer)) model.matrices[layer] = model.rollouts[layer] = null;
    const urgent = new Set(wanted.slice(0, 2 * AT_ONCE).map(pathOf));
    for (const [name, controller] of coming) if (!urgent.has(name)) controller.abort();
    next();
    return wanted.length;
  }

  function next() {
    if (again) return;
    const missing = wanted.filter((piece) => !coming.has(pathOf(piece)));
    while (coming.size < AT_ONCE && missing.length) ask(/** @type {Piece} */ (missing.shift()));
  }

  /** @param {Piece} piece */
  async function ask(piece) {
    const name = pathOf(piece);
    const controller = new AbortController();
    coming.set(name, controller);
    try {
      const answer = await fetch(`${address}/${name}`, { signal: controller.signal });
      if (!answer.ok) throw new Error(await answer.text());
      TAKES[piece.kind](models[piece.of], piece.at, new Uint8Array(await answer.arrayBuffer()));
      wanted = wanted.filter((other) => pathOf(other) !== name);
      failed(null);
      arrived(piece);
    } catch (error) {
      if (!controller.signal.aborted) {
        failed(error instanceof TypeError ? "The server cannot be reached; it is asked again." : String(/** @type {Error} */ (error).message));
        again ||= setTimeout(retry, AGAIN);
      }
    } finally {
      if (coming.get(name) === controller) coming.delete(name);
      next();
    }
  }

  function retry() {
    again = 0;
    next();
  }

  function stop() {
    wanted = [];
    clearTimeout(again);
    for (const controller of coming.values()) controller.abort();
  }

  return { want, stop };
}
