// @ts-check
// What stands side by side for a state, as values and words: no document.

import { isSigned, largest, patchAt, patchValues, peak, ranges } from "./arithmetic.js";
import { reading, valueError } from "./readings.js";
import { headInUse, indexAt, isDifferent, queryOf } from "./state.js";

/** @import { HeadChoice, Model, Picture, State } from "./types.js" */

/** @type {Record<string, string>} what stands on buttons and in words, said shortly */
export const MEANINGS = {
  CLS: "the class token: what the prediction is read from",
  effective: "what a block applies to its own V: A in a standard block, 2A − A² in a twicing one",
  A: "softmax(QKᵀ/√d): each row sums to 1",
  "A − A²": "what twicing adds to A; each row sums to 0",
  "2A − A²": "attention with twicing; each row sums to 1, entries can be negative",
  "E₀": "what a block applies to the first block's V, in a model that does: U = EV + E₀V¹, E the effective matrix",
  rollout:
    "product over the layers so far of (E + I)/2, E the mean over heads of the effective matrices; where the first " +
    "block's values come in by E₀, Rˡ = ((E + I)Rˡ⁻¹ + E₀)/2",
  max: "patch by patch, the head of largest magnitude",
};

/**
 * Values and colour ranges of both models in a layer.
 * @param {State} state
 * @param {Model[]} models
 * @param {number} layer
 * @param {HeadChoice} choice
 */
export function mapsOf(state, models, layer, choice = state.head) {
  const last = (/** @type {Model} */ model) => Math.min(layer, model.layers - 1);
  const values = models.map((model) => patchValues(model, last(model), queryOf(state, model), state.matrix, choice));
  const signs = models.map((model) => isSigned(model, last(model), state.matrix));
  return { values, spans: ranges(values, signs, state.scale) };
}

/**
 * What the two places show.
 * @param {State} state
 * @param {Model[]} models
 * @param {ReturnType<typeof mapsOf>} maps of the layer
 * @returns {Picture[]}
 */
export function picturesOf(state, models, { values, spans } = mapsOf(state, models, state.layer)) {
  const errors = models.map(
    (model) => (/** @type {number} */ patch) =>
      valueError(model, state.layer, queryOf(state, model), state.matrix, state.head, model.prefix + patch),
  );
  return [0, 1].map((place) => {
    const index = indexAt(state, place);
    const model = models[index];
    if (place === 1 && isDifferent(state, models)) {
      const change = values[1].map((value, i) => value - values[0][i]);
      const high = state.scale === "absolute" ? 1 : largest(change);
      const errorAt = (/** @type {number} */ patch) => errors[0](patch) + errors[1](patch);
      return {
        model,
        index,
        isDifference: true,
        values: change,
        range: { low: -high, high },
        name: "Difference",
        label: "second model minus first",
        errorAt,
        endError: endError(high, [change], [errorAt]),
      };
    }
    const notes = [state.matrix === "effective" ? model.label : state.matrix];
    if (model.counterfactual) notes.push("operator swapped, not trained");
    if (state.token && tokenName(state.token, model) !== state.token)
      notes.push(`it has no ${state.token} token, ${model.restName} stands in`);
    return {
      model,
      index,
      isDifference: false,
      values: values[index],
      range: spans[index],
      name: model.name,
      label: notes.join(" · "),
      errorAt: errors[index],
      endError: endError(spans[index].high, values, errors),
    };
  });
}

/**
 * How far the end of a range may be off: as far as the value it is taken from; 0 where it is a number of the scale's own.
 * @param {number} high
 * @param {Float32Array[]} maps
 * @param {Picture["errorAt"][]} errors of their patches
 */
function endError(high, maps, errors) {
  const map = maps.findIndex((values) => largest(values) === high);
  return map < 0 ? 0 : errors[map](peak(maps[map]));
}

/**
 * A prefix token, or in a model without it what stands in; null is the query at rest.
 * @param {string | null} token
 * @param {Model} model
 */
const tokenName = (token, model) => (token && model.prefixNames.includes(token) ? token : model.restName);

/**
 * @param {Pick<State, "place" | "token">} state
 * @param {Model[]} models
 */
export function queryName({ place, token }, models) {
  if (!place) return [...new Set(models.map((model) => tokenName(token, model)))].join(" / ");
  const { row, column } = patchAt(models[0].grid, place);
  return `row ${row + 1}, column ${column + 1}`;
}

/**
 * The line under the maps: what lies under the pointer, or what is drawn.
 * @param {State} state
 * @param {Model[]} models
 * @param {Picture[]} pictures
 */
export function statusLine(state, models, pictures) {
  const { layer, matrix, cursor } = state;
  const used = headInUse(state);
  const head = typeof used === "number" ? used + 1 : used;
  const view = `${layer + 1}, head ${head}, ${matrix}, query ${queryName(state, models)}`;
  if (!cursor) return `Layer ${view}`;
  const { row, column } = patchAt(models[0].grid, cursor);
  const values = pictures.map(({ name, values, model, errorAt }) => {
    const { index } = patchAt(model.grid, cursor);
    return `${name} ${reading(values[index], errorAt(index))}`;
  });
  return `row ${row + 1}, column ${column + 1}: ${values.join(" · ")} — layer ${view}`;
}

/**
 * The line under the maps while what they need is not there.
 * @param {State} state
 * @param {Model[]} models
 * @param {boolean} isComing whether a server is asked for it
 */
export const waitingLine = (state, models, isComing) =>
  `Layer ${state.layer + 1}, query ${queryName(state, models)}: ` +
  (isComing ? "on its way …" : "this file does not carry it; it has the rows of the query at rest in every layer.");

/**
 * What the colour bar is of: the right place's range with its ends in words, and the left one's where it is another.
 * @param {State} state
 * @param {Model[]} models
 * @param {Picture[]} pictures
 */
export function scaleOf(state, models, [left, right]) {
  const isShared = left.range.low === right.range.low && left.range.high === right.range.high;
  const quantity = isDifferent(state, models) ? "difference" : "weight of each patch";
  const tick = (/** @type {number} */ value, /** @type {Picture} */ { endError }) => reading(value, endError, 1);
  const other = isShared ? "" : ` (right; left ends at ${tick(left.range.high, left)})`;
  return {
    range: right.range,
    low: right.range.low < 0 ? tick(right.range.low, right) : "0",
    high: tick(right.range.high, right),
    text: `${quantity} for ${queryName(state, models)}${other}`,
  };
}
