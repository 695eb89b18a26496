// @ts-check
// What is shown, as a record, and every way it changes: pure functions of a state and the models it is of.

import { MATRICES, matricesOf, middleOf, patchAt, tokenAt } from "./arithmetic.js";

/** @import { Drawing, HeadChoice, MatrixName, Model, Place, Scale, State } from "./types.js" */

/** @type {Scale[]} */
export const SCALES = ["map", "shared", "absolute"];
/** @type {Drawing[]} */
export const DRAWINGS = ["smooth", "cells", "contours"];
/** Where a divider begins. */
const MIDDLE = 0.5;
export const COLOUR_MAPS = ["cividis", "viridis", "magma"];

/** @type {State} */
export const DEFAULTS = {
  layer: Infinity, // the last
  head: "mean",
  place: null,
  token: null,
  pinned: false,
  matrix: "effective",
  scale: "shared",
  colours: "cividis",
  opacity: 0.85,
  drawing: "smooth",
  difference: false,
  blink: 0,
  allHeads: false,
  wipe: "auto",
  narrow: false,
};

// --- what both models have -------------------------------------------------------------------------------------------

/** @param {Model[]} models */
export const depthOf = (models) => Math.min(...models.map((model) => model.layers));

/**
 * The numbers of the heads that both have, from 0.
 * @param {Model[]} models
 */
export const eachHead = (models) =>
  Array.from({ length: Math.min(...models.map((model) => model.heads)) }, (_, h) => h);

/**
 * @param {Model[]} models
 * @returns {HeadChoice[]}
 */
export const headChoices = (models) => ["mean", "max", ...eachHead(models)];

/**
 * The queries that are no patches: at rest (null), and by name the prefix tokens that are not that.
 * @param {Model[]} models
 */
export const tokenChoices = (models) => [
  ...new Set([null, ...models.flatMap((model) => model.prefixNames.filter((_, token) => token !== model.rest))]),
];

/**
 * Whether a patch is the same region of the photograph in both models.
 * @param {Model[]} models
 */
export const isSameView = ([first, second]) =>
  String(first.grid) === String(second.grid) && String(first.crop) === String(second.crop);

// --- what follows from a state ---------------------------------------------------------------------------------------

/**
 * Rollout takes its own mean over heads: none of them has one.
 * @param {State} state
 */
export const headInUse = (state) => (state.matrix === "rollout" ? "mean" : state.head);

/**
 * The heads that have a row of their own in the strips; `null` is the chosen one.
 * @param {State} state
 * @param {Model[]} models
 */
export const stripHeads = (state, models) => (state.allHeads && state.matrix !== "rollout" ? eachHead(models) : [null]);

/**
 * The query as a token of a model.
 * @param {State} state
 * @param {Model} model
 */
export const queryOf = ({ place, token }, model) => tokenAt(model, place, token);

/**
 * Which model a place shows.
 * @param {State} state
 * @param {number} place
 */
export const indexAt = (state, place) => (state.blink ? state.blink - 1 : place);

/**
 * Whether the right place shows the second model minus the first.
 * @param {State} state
 * @param {Model[]} models
 */
export const isDifferent = (state, models) => state.difference && isSameView(models);

/**
 * Where the divider is that parts both models over one photograph, in shares of its width; null side by side, as models
 * are that saw other crops.
 * @param {State} state
 * @param {Model[]} models
 */
export function dividerOf({ wipe, narrow }, [first, second]) {
  if (wipe === "off" || first.crop !== second.crop) return null;
  if (wipe !== "auto") return wipe;
  return narrow ? MIDDLE : null;
}

// --- changes ---------------------------------------------------------------------------------------------------------

/**
 * A query that is chosen anew takes the place of a prefix token.
 * @param {State} state
 * @param {Partial<State>} change
 * @returns {State}
 */
export const changed = (state, change) => ({ ...state, ...("place" in change && { token: null }), ...change });

/**
 * A state that these models can show.
 * @param {State} state
 * @param {Model[]} models
 * @returns {State}
 */
export function settled(state, models) {
  const fits = { ...state, layer: Math.min(state.layer, depthOf(models) - 1) };
  if (!headChoices(models).includes(state.head)) fits.head = "mean";
  if (!matricesOf(models).includes(state.matrix)) fits.matrix = "effective";
  if (!tokenChoices(models).includes(state.token)) Object.assign(fits, { token: null, pinned: false });
  if (!fits.pinned) Object.assign(fits, { place: null, token: null });
  return fits;
}

/**
 * To the class token (or the mean query), and from there to letting the pointer choose again.
 * @param {State} state
 * @returns {Partial<State>}
 */
export const towardsRest = (state) =>
  state.place || state.token || !state.pinned ? { place: null, pinned: true } : { pinned: false };

/**
 * From side by side to one photograph, and back.
 * @param {State} state
 * @param {Model[]} models
 * @returns {Partial<State>}
 */
export const wiped = (state, models) => ({ wipe: dividerOf(state, models) === null ? MIDDLE : "off" });

/**
 * The divider moved along.
 * @param {State} state
 * @param {Model[]} models
 * @param {number} by
 * @returns {Partial<State> | null}
 */
export function slid(state, models, by) {
  const divider = dividerOf(state, models);
  return divider === null ? null : { wipe: Math.max(0, Math.min(1, divider + by)) };
}

/**
 * A click pins a patch; another one on it lets go.
 * @param {State} state
 * @param {Place} place
 * @returns {Partial<State>}
 */
export const clicked = (state, place) => ({
  place,
  pinned: !(state.pinned && String(place) === String(state.place)),
});

/**
 * The next of several options, or the last of them.
 * @template Option
 * @param {Option[]} options
 * @param {Option} option
 * @param {number} by
 */
export const stepped = (options, option, by) =>
  options[Math.max(0, Math.min(options.length - 1, options.indexOf(option) + by))];

/**
 * The patch beside the query, or beside the middle.
 * @param {State} state
 * @param {Model[]} models
 * @param {number} down
 * @param {number} right
 * @returns {Partial<State>}
 */
export function beside(state, [{ grid }], down, right) {
  const [rows, columns] = grid;
  const { row, column } = state.place
    ? patchAt(grid, state.place)
    : { row: Math.floor(rows / 2), column: Math.floor(columns / 2) };
  const within = (/** @type {number} */ value, /** @type {number} */ count) => Math.max(0, Math.min(count - 1, value));
  return { place: middleOf(grid, within(row + down, rows), within(column + right, columns)), pinned: true };
}

// --- addresses -------------------------------------------------------------------------------------------------------

/**
 * What addresses call the matrices, as settings of figures do.
 * @type {Record<MatrixName, string>}
 */
const SPELLINGS = { effective: "effective", A: "a", "A − A²": "a-a2", "2A − A²": "2a-a2", rollout: "rollout", "E₀": "e0" };

/**
 * State as it stands in an address, in what people count from 1.
 * @param {State} state
 * @returns {Record<string, string>}
 */
export function toParameters(state) {
  const token = (state.token ?? "cls").replace(" ", "-");
  const query = state.place ? state.place.map((share) => share.toFixed(4)).join(",") : token;
  return {
    layer: String(state.layer + 1),
    head: typeof state.head === "number" ? String(state.head + 1) : state.head,
    query: state.pinned ? query : "rest",
    matrix: SPELLINGS[state.matrix],
    scale: state.scale,
    ...(typeof state.wipe === "number" && { wipe: state.wipe.toFixed(3) }),
    ...(state.wipe === "off" && { wipe: "off" }),
    ...(state.blink && { blink: String(state.blink) }),
  };
}

/**
 * What of an address is a state; everything else is passed over.
 * @param {URLSearchParams} parameters
 * @returns {Partial<State>}
 */
export function fromParameters(parameters) {
  /** @type {Partial<State>} */
  const state = {};
  const layer = Number(parameters.get("layer"));
  if (Number.isInteger(layer) && layer >= 1) state.layer = layer - 1;
  const head = parameters.get("head");
  if (head === "mean" || head === "max") state.head = head;
  else if (Number(head) >= 1) state.head = Math.floor(Number(head)) - 1;
  const matrix = parameters.get("matrix") ?? parameters.get("operator"); // as links of earlier versions call it
  const known = MATRICES.find((name) => SPELLINGS[name] === matrix || name === matrix); // or its name, as they wrote it
  if (known) state.matrix = known;
  const scale = SCALES.find((name) => name === parameters.get("scale"));
  if (scale) state.scale = scale;
  const wipe = parameters.get("wipe");
  if (wipe === "off") state.wipe = wipe;
  else if (wipe && Number(wipe) >= 0 && Number(wipe) <= 1) state.wipe = Number(wipe);
  const blink = parameters.get("blink");
  if (blink === "1" || blink === "2") state.blink = Number(blink);
  const query = parameters.get("query") ?? "";
  const [y, x, ...more] = query.split(",").map(Number);
  if (query === "cls") Object.assign(state, { place: null, pinned: true });
  if (/^(distillation|register-[1-9]\d{0,2})$/.test(query))
    Object.assign(state, { place: null, token: query.replace("-", " "), pinned: true });
  if (y >= 0 && y < 1 && x >= 0 && x < 1 && !more.length) Object.assign(state, { place: [y, x], pinned: true });
  return state;
}
