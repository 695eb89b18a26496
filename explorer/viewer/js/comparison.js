// @ts-check
// What stands side by side for a state, as values and words: no document.

import { finest, isSigned, largest, number, patchAt, patchValues, ranges, reading } from "./arithmetic.js";
import { headInUse, indexAt, isDifferent, queryOf } from "./state.js";

/** @import { HeadChoice, Model, Picture, State } from "./types.js" */

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
 * @returns {Picture[]}
 */
export function picturesOf(state, models) {
  const { values, spans } = mapsOf(state, models, state.layer);
  const bounds = models.map((model, i) =>
    state.matrix === "rollout"
      ? 0.01 * largest(values[i])
      : finest(model, state.layer, queryOf(state, model), state.head),
  );
  return [0, 1].map((place) => {
    const index = indexAt(state, place);
    const model = models[index];
    if (place === 1 && isDifferent(state, models)) {
      const change = values[1].map((value, i) => value - values[0][i]);
      const high = state.scale === "absolute" ? 1 : largest(change);
      return {
        model,
        index,
        isDifference: true,
        values: change,
        range: { low: -high, high },
        name: "Difference",
        label: "second model minus first",
        bound: bounds[0] + bounds[1],
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
      bound: bounds[index],
    };
  });
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
  const values = pictures.map(
    ({ name, values, model, bound }) => `${name} ${reading(values[patchAt(model.grid, cursor).index], bound)}`,
  );
  return `row ${row + 1}, column ${column + 1}: ${values.join(" · ")} — layer ${view}`;
}

/**
 * What the colour bar is of: the left place's range, and the right one's where it is another.
 * @param {State} state
 * @param {Model[]} models
 * @param {Picture[]} pictures
 */
export function scaleOf(state, models, [{ range: left }, { range: right }]) {
  const isShared = left.low === right.low && left.high === right.high;
  const quantity = isDifferent(state, models) ? "difference" : "weight of each patch";
  const other = isShared ? "" : ` (right; left ends at ${number(left.high)})`;
  return { range: right, text: `${quantity} for ${queryName(state, models)}${other}` };
}
