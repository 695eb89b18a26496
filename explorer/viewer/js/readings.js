// @ts-check
// How far a shown value may be from the models' own, and how it is written: in no more digits than hold.
//
// A byte c says `s (c / 255)²` where the root of an entry lies within half a step of c / 255, so the entry itself lies
// within `s (c + ¼) / 255²` of that; of both signs `s c |c| / 127²`, within `s (|c| + ¼) / 127²`. `A²` multiplies such
// intervals, unless its row came. Rollout comes as it is, in two bytes an entry, or of the query at rest in floats.

import { headsOf, largest, mean, partOf, polynomial, rolloutRow } from "./arithmetic.js";

/** @import { HeadChoice, MatrixName, Model } from "./types.js" */
/** @typedef {{ value: number, error: number }} Entry */

export const DIGITS =
  "Attention comes in one byte an entry: a number holds to within one unit of its last digit; where that leaves fewer " +
  "than two digits, it is said between what or below what (<) the value lies.";

/**
 * What sums of N floats of 32 bits may add to an error: of a term a byte leaves 1/255 open or more, rounding N / 2²⁴.
 * @param {Model} model
 */
const sums = ({ tokens }) => 1 + (2 * 255 * tokens) / 2 ** 24;
/** And to rollout, as a share of its largest entry or of 1. */
const ROLLOUT_SUMS = 1e-5;

/**
 * Row `query` of A, or of another matrix whose rows came, with its errors; -1 is the mean over the patches' rows.
 * @param {Model} model
 * @param {number} layer
 * @param {number} head
 * @param {number} query
 * @param {"attention" | "squares"} matrix
 */
function rowEntries({ tokens: n, prefix, heads, matrices, rows }, layer, head, query, matrix = "attention") {
  const values = new Float64Array(n);
  const errors = new Float64Array(n);
  const own = rows.get(query);
  const { codes, scales, steps } = own ? own[matrix] : partOf(matrices, layer);
  const lines = head * n;
  const [first, last] = own
    ? [layer * heads + head, layer * heads + head + 1]
    : query < 0
      ? [lines + prefix, lines + n]
      : [lines + query, lines + query + 1];
  for (let line = first; line < last; line++) {
    const unit = scales[line] / (steps ** 2 * (last - first));
    for (let key = 0, at = line * n; key < n; key++, at++) {
      const size = Math.abs(codes[at]);
      values[key] += unit * codes[at] * size;
      errors[key] += unit * (size + 0.25);
    }
  }
  return { values, errors };
}

/**
 * Entries of `r A`, both known up to errors: of `(r + ρ)(a + δ)` the middle is `r a`, the rest `ρ (a + δ) + r δ`.
 * @param {Model} model
 * @param {number} layer
 * @param {number} head
 * @param {ReturnType<typeof rowEntries>} row
 * @param {number} first key
 * @param {number} last key, not included
 */
function products({ tokens: n, matrices }, layer, head, { values, errors }, first, last) {
  const { codes, scales, steps } = partOf(matrices, layer);
  const lines = head * n;
  const result = { values: new Float64Array(n), errors: new Float64Array(n) };
  for (let middle = 0; middle < n; middle++) {
    const unit = scales[lines + middle] / steps ** 2;
    for (let key = first; key < last; key++) {
      const code = codes[(lines + middle) * n + key];
      const size = Math.abs(code);
      result.values[key] += values[middle] * unit * code * size;
      result.errors[key] += unit * (errors[middle] * (size + 0.5) ** 2 + Math.abs(values[middle]) * (size + 0.25));
    }
  }
  return result;
}

/**
 * An entry of a matrix other than rollout, in one head.
 * @param {Model} model
 * @param {number} layer
 * @param {number} head
 * @param {number} query
 * @param {MatrixName} matrix
 * @param {number} key
 * @returns {Entry}
 */
function entryOf(model, layer, head, query, matrix, key) {
  const [ofMean, ofIdentity, ...ofPowers] = polynomial(model, layer, matrix);
  const isPicked = query < 0 ? key >= model.prefix : key === query;
  const share = query < 0 ? 1 / (model.tokens - model.prefix) : 1;
  let value = ofMean / model.tokens + (isPicked ? ofIdentity * share : 0);
  let error = 0;
  let power = rowEntries(model, layer, head, query);
  ofPowers.forEach((weight, k) => {
    if (k === 1 && model.rows.has(query)) power = rowEntries(model, layer, head, query, "squares");
    else if (k > 0) {
      const isLast = k === ofPowers.length - 1;
      power = products(model, layer, head, power, isLast ? key : 0, isLast ? key + 1 : model.tokens);
    }
    value += weight * power.values[key];
    error += Math.abs(weight) * power.errors[key];
  });
  return { value, error };
}

/**
 * How far a row of rollout is off: half a step of its codes, and what sums in float32 may add.
 * @param {Model} model
 * @param {number} layer
 * @param {number} query
 */
function rolloutError(model, layer, query) {
  const rounding = ROLLOUT_SUMS * Math.max(1, largest(rolloutRow(model, layer, query)));
  if (model.rows.has(query)) return rounding;
  const { scales } = partOf(model.rollouts, layer);
  const steps = query < 0 ? mean([...scales.subarray(model.prefix)]) : scales[query];
  return steps / 65534 + rounding;
}

/**
 * How far the value of a token, heads combined as chosen, is from the model's own at most.
 * @param {Model} model
 * @param {number} layer
 * @param {number} query
 * @param {MatrixName} matrix
 * @param {HeadChoice} choice
 * @param {number} key
 */
export function valueError(model, layer, query, matrix, choice, key) {
  if (matrix === "rollout") return rolloutError(model, layer, query);
  const entries = headsOf(model, choice).map((head) => entryOf(model, layer, head, query, matrix, key));
  if (choice !== "max") return sums(model) * mean(entries.map(({ error }) => error));
  const best = entries.reduce((most, entry) => (Math.abs(entry.value) > Math.abs(most.value) ? entry : most));
  const inReach = entries.filter(({ value, error }) => Math.abs(value) + error >= Math.abs(best.value) - best.error);
  return sums(model) * Math.max(...inReach.map(({ value, error }) => Math.abs(value - best.value) + error));
}

/**
 * A number in so many digits, two at most where it takes a power of ten.
 * @param {number} value
 * @param {number} digits
 */
export function number(value, digits = 3) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  const isPlain = size >= 0.001 && size < 1000;
  const text = isPlain ? value.toPrecision(digits) : value.toExponential(Math.min(digits, 2) - 1);
  return text.replaceAll("-", "−");
}

/**
 * A number in the digits that hold, right to within one unit of the last. Where fewer than `least` do, between what it
 * lies, and where it may be 0, what its magnitude is below.
 * @param {number} value
 * @param {number} error
 */
export function reading(value, error, least = 2) {
  if (error === 0) return number(value);
  const size = Math.abs(value);
  const most = twoDigits(size + error, Math.ceil);
  if (size <= error) return `< ${most}`;
  const place = Math.ceil(Math.log10(2 * error)); // half a unit of it, for rounding, and the error make one at most
  const digits = Math.floor(Math.log10(size)) + 1 - place;
  if (digits >= least) return number(value, Math.min(3, digits));
  const fewest = twoDigits(size - error, Math.floor);
  return value < 0 ? `−${most} to −${fewest}` : `${fewest} to ${most}`;
}

/**
 * A positive number in two digits, rounded one way.
 * @param {number} value
 * @param {(value: number) => number} round
 */
function twoDigits(value, round) {
  const unit = 10 ** (Math.floor(Math.log10(value)) - 1);
  return number(round(value / unit) * unit, 2);
}
