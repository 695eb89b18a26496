// @ts-check
// Rows of every matrix from A alone: `r = A[q]` and `r A`, or the rows themselves where they came; rollout comes as it is.
// Pure functions of numbers; no document, no state. How far a value may be from the model's own is said by `readings.js`.

/** @import { Codes, ColourRange, HeadChoice, MatrixName, Model, Place, Scale, Size } from "./types.js" */

/** @type {MatrixName[]} */
export const MATRICES = ["effective", "A", "A − A²", "2A − A²", "rollout", "E₀"];

/**
 * Those that models have: E₀ only where one of them applies something to the first block's values.
 * @param {Model[]} models
 */
export const matricesOf = (models) => MATRICES.filter((name) => name !== "E₀" || models.some(({ first }) => first));

/** @type {Record<string, number[]>} `m, c_0, c_1, ...` of `m J + c_0 I + c_1 A + c_2 A² + ...`, J the mean of all rows */
const POLYNOMIALS = { A: [0, 0, 1], "A − A²": [0, 0, 1, -1], "2A − A²": [0, 0, 2, -1], "E₀": [0, 0] };

/**
 * A matrix other than rollout as a polynomial of A.
 * @param {Model} model
 * @param {number} layer
 * @param {MatrixName} matrix
 */
export function polynomial(model, layer, matrix) {
  if (matrix === "effective") return model.effective[layer];
  return matrix === "E₀" && model.first ? model.first[layer] : POLYNOMIALS[matrix];
}

/**
 * Whether a row can be had: the query's rows came, or the layer.
 * @param {Model} model
 * @param {number} layer
 * @param {number} query
 * @param {MatrixName} matrix
 */
export function isThere(model, layer, query, matrix) {
  if (matrix === "rollout") return model.rows.has(query) || model.rollouts[layer] !== null;
  const isOfRows = polynomial(model, layer, matrix).length <= 4; // the rows of A and A² come, of higher powers none
  return (isOfRows && model.rows.has(query)) || model.matrices[layer] !== null;
}

/**
 * What came of a layer. Throws where nothing did.
 * @template Part
 * @param {(Part | null)[]} parts
 * @param {number} layer
 * @returns {Part}
 */
export function partOf(parts, layer) {
  const part = parts[layer];
  if (!part) throw new Error(`Layer ${layer + 1} has not come.`);
  return part;
}

/**
 * A line of codes as numbers.
 * @param {Codes} codes
 * @param {number} line
 * @param {number} n
 */
function decoded({ codes, scales, steps }, line, n) {
  const unit = scales[line] / steps ** 2;
  const result = new Float32Array(n);
  for (let key = 0, at = line * n; key < n; key++, at++) result[key] = unit * codes[at] * Math.abs(codes[at]);
  return result;
}

/**
 * Row `query` of A in a layer and head; -1 is the mean over the patches' rows.
 * @param {Model} model
 * @param {number} layer
 * @param {number} head
 * @param {number} query
 */
export function row(model, layer, head, query) {
  const n = model.tokens;
  const own = model.rows.get(query);
  if (own) return decoded(own.attention, layer * model.heads + head, n);
  if (query < 0) return times(model, layer, head, start(model, query));
  return decoded(partOf(model.matrices, layer), head * n + query, n);
}

/**
 * The row vector that picks a row, or the mean of the patches' rows.
 * @param {Model} model
 * @param {number} query
 */
function start(model, query) {
  const r = new Float32Array(model.tokens);
  if (query < 0) r.fill(1 / (model.tokens - model.prefix), model.prefix);
  else r[query] = 1;
  return r;
}

/**
 * `r A`: a row vector times the matrix of a layer and head.
 * @param {Model} model
 * @param {number} layer
 * @param {number} head
 * @param {Float32Array} r
 */
export function times({ tokens: n, matrices }, layer, head, r) {
  const { codes, scales, steps } = partOf(matrices, layer);
  const first = head * n;
  const result = new Float32Array(n);
  for (let query = 0; query < n; query++) {
    const weight = (r[query] * scales[first + query]) / steps ** 2;
    if (weight === 0) continue;
    for (let key = 0, at = (first + query) * n; key < n; key++, at++) result[key] += weight * (codes[at] * Math.abs(codes[at]));
  }
  return result;
}

/**
 * Row `query` of a matrix other than rollout, in one head. `A[q] A` is a product, or came with the query's rows.
 * @param {Model} model
 * @param {number} layer
 * @param {number} head
 * @param {number} query
 * @param {MatrixName} matrix
 */
export function matrixRow(model, layer, head, query, matrix) {
  const [ofMean, ofIdentity, ...ofPowers] = polynomial(model, layer, matrix);
  const n = model.tokens;
  const picks = start(model, query);
  const result = picks.map((value) => ofIdentity * value + ofMean / n);
  let power = picks;
  ofPowers.forEach((weight, k) => {
    power = powerRow(model, layer, head, query, k + 1, power);
    for (let i = 0; i < n; i++) result[i] += weight * power[i];
  });
  return result;
}

/**
 * Row `query` of a power of A, from that of the power before.
 * @param {Model} model
 * @param {number} layer
 * @param {number} head
 * @param {number} query
 * @param {number} exponent
 * @param {Float32Array} before
 */
function powerRow(model, layer, head, query, exponent, before) {
  if (exponent === 1) return row(model, layer, head, query);
  const own = model.rows.get(query);
  if (exponent === 2 && own) return decoded(own.squares, layer * model.heads + head, model.tokens);
  return times(model, layer, head, before);
}

/**
 * Row `query` of the rollout up to a layer; -1 is the mean over the patches' rows.
 * @param {Model} model
 * @param {number} layer
 * @param {number} query
 */
export function rolloutRow(model, layer, query) {
  const n = model.tokens;
  const own = model.rows.get(query);
  if (own) return own.rollout.slice(layer * n, (layer + 1) * n);
  const { codes, scales } = partOf(model.rollouts, layer);
  const result = new Float32Array(n);
  const [first, last] = query < 0 ? [model.prefix, n] : [query, query + 1];
  for (let line = first; line < last; line++) {
    const unit = scales[line] / (32767 * (last - first));
    for (let key = 0, at = line * n; key < n; key++, at++) result[key] += unit * codes[at];
  }
  return result;
}

/**
 * One value per token: the row of the query, heads combined as chosen.
 * @param {Model} model
 * @param {number} layer
 * @param {number} query
 * @param {MatrixName} matrix
 * @param {HeadChoice} choice
 */
export function tokenValues(model, layer, query, matrix, choice) {
  if (matrix === "rollout") return rolloutRow(model, layer, query);
  if (typeof choice === "number") return matrixRow(model, layer, Math.min(choice, model.heads - 1), query, matrix);
  const rows = Array.from({ length: model.heads }, (_, head) => matrixRow(model, layer, head, query, matrix));
  return rows[0].map((_, i) => {
    if (choice === "mean") return rows.reduce((sum, values) => sum + values[i], 0) / rows.length;
    return rows.reduce((best, values) => (Math.abs(values[i]) > Math.abs(best) ? values[i] : best), 0);
  });
}

/**
 * The same over the patches, prefix tokens left out.
 * @param {Parameters<typeof tokenValues>} query
 */
export const patchValues = (...query) => tokenValues(...query).subarray(query[0].prefix);

/**
 * @param {Model} model
 * @param {number} layer
 * @param {MatrixName} matrix
 */
export function isSigned(model, layer, matrix) {
  if (model.hasSigns) return true;
  return matrix === "rollout" ? model.isSigned[layer] : polynomial(model, layer, matrix).some((weight) => weight < 0);
}

/**
 * @param {Model} model
 * @param {HeadChoice} choice
 */
export const headsOf = (model, choice) =>
  typeof choice === "number" ? [Math.min(choice, model.heads - 1)] : Array.from({ length: model.heads }, (_, h) => h);

/** @param {number[]} values */
export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * Entropy of the query's row of A in nats, the mean over the chosen heads; sent for every row, NaN where none has one.
 * @param {Model} model
 * @param {number} layer
 * @param {number} query
 * @param {HeadChoice} choice
 */
export const entropy = (model, layer, query, choice) =>
  mean(
    headsOf(model, choice).map(
      (head) =>
        model.entropies?.[(layer * model.heads + head) * (model.tokens + 1) + (query < 0 ? model.tokens : query)] ?? NaN,
    ),
  );

/**
 * Mean distance in pixels of the model's input from the query's patch to what it looks at; NaN for a prefix token.
 * Sent for every patch.
 * @param {Model} model
 * @param {number} layer
 * @param {number} query
 * @param {HeadChoice} choice
 */
export function distance(model, layer, query, choice) {
  const { distances } = model;
  if (query < model.prefix || distances === null) return NaN;
  const patches = model.tokens - model.prefix;
  const at = query - model.prefix;
  return mean(headsOf(model, choice).map((head) => distances[(layer * model.heads + head) * patches + at]));
}

/**
 * Mean cosine of a token with the other patches after `state` blocks, sent for every token.
 * @param {Model} model
 * @param {number} state
 * @param {number} query
 */
export const own = (model, state, query) =>
  query < 0 ? model.similarity[state] : model.each[state * model.tokens + query];

/**
 * Largest magnitude.
 * @param {Float32Array} values
 */
export const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1e-12;

/**
 * Where the largest magnitude is.
 * @param {Float32Array} values
 */
export const peak = (values) =>
  values.reduce((best, value, i) => (Math.abs(value) > Math.abs(values[best]) ? i : best), 0);

/**
 * The colour range of each of several maps in a layer.
 * @param {Float32Array[]} maps
 * @param {boolean[]} signs
 * @param {Scale} scale
 * @returns {ColourRange[]}
 */
export function ranges(maps, signs, scale) {
  const any = signs.some(Boolean);
  const upTo = (/** @type {boolean} */ signed, /** @type {number} */ high) => ({ low: signed ? -high : 0, high });
  if (scale === "absolute") return maps.map(() => upTo(any, 1));
  if (scale === "shared") return maps.map(() => upTo(any, Math.max(...maps.map(largest))));
  return maps.map((values, i) => upTo(signs[i], largest(values)));
}

/**
 * The patch at a place of the picture.
 * @param {Size} grid
 * @param {Place} place
 */
export function patchAt(grid, place) {
  const [row, column] = place.map((share, i) => Math.max(0, Math.min(grid[i] - 1, Math.floor(share * grid[i]))));
  return { row, column, index: row * grid[1] + column };
}

/**
 * The middle of a patch, in shares.
 * @param {Size} grid
 * @param {number} row
 * @param {number} column
 * @returns {Place}
 */
export const middleOf = ([rows, columns], row, column) => [(row + 0.5) / rows, (column + 0.5) / columns];

/**
 * The patch at a place as a token; without one the prefix token of a name, which the query at rest stands in for.
 * @param {Model} model
 * @param {Place | null} place
 * @param {string | null} name
 */
export function tokenAt(model, place, name = null) {
  if (place) return model.prefix + patchAt(model.grid, place).index;
  return name !== null && model.prefixNames.includes(name) ? model.prefixNames.indexOf(name) : model.rest;
}
