// @ts-check
// The keyboard: a table from keys to changes of the state.

import { matricesOf } from "./arithmetic.js";
import { beside, depthOf, headChoices, slid, stepped, tokenChoices, wiped } from "./state.js";

/** @import { Model, State } from "./types.js" */

/** @param {Model[]} models */
export const helpOf = (models) =>
  "← → layer · ↑ ↓ head · Shift with arrows moves the patch · Enter pins it · Esc back · Space plays · W both models on " +
  "one photograph · , . its divider · 1 2 one model in both places · 0 both models · O held the photograph · D difference · " +
  "G all heads · [ ] matrix" +
  (tokenChoices(models).length > 1 ? " · T next prefix token" : "");

/** Of a divider, in shares of the width. */
const STEP = 0.05;

/** @typedef {(state: State, models: Model[]) => Partial<State> | null} Change null where there is nothing to change */

/** @type {(by: number) => Change} */
const layer = (by) => (state, models) => ({
  layer: Math.max(0, Math.min(depthOf(models) - 1, state.layer + by)),
});
/** @type {(by: number) => Change} */
const head = (by) => (state, models) => ({ head: stepped(headChoices(models), state.head, by) });
/** @type {(by: number) => Change} */
const matrix = (by) => (state, models) => ({ matrix: stepped(matricesOf(models), state.matrix, by) });
/** @type {(down: number, right: number) => Change} */
const patch = (down, right) => (state, models) => beside(state, models, down, right);
/** @type {(index: number) => Change} */
const blink = (index) => (state) => ({ blink: state.blink === index ? 0 : index });

/** @type {(by: number) => Change} */
const divider = (by) => (state, models) => slid(state, models, by);

/** @type {Change} from a patch to the query at rest, then from token to token */
function nextToken({ place, token, pinned }, models) {
  const tokens = tokenChoices(models);
  if (tokens.length === 1) return null;
  const next = place || !pinned ? null : tokens[(tokens.indexOf(token) + 1) % tokens.length];
  return { place: null, token: next, pinned: true };
}

/** @type {Record<string, Change>} */
export const KEYS = {
  ArrowLeft: layer(-1),
  ArrowRight: layer(1),
  ArrowUp: head(-1),
  ArrowDown: head(1),
  "Shift+ArrowLeft": patch(0, -1),
  "Shift+ArrowRight": patch(0, 1),
  "Shift+ArrowUp": patch(-1, 0),
  "Shift+ArrowDown": patch(1, 0),
  Enter: (state) => ({ pinned: !state.pinned }),
  Escape: () => ({ place: null, pinned: false, cursor: null, blink: 0, difference: false }),
  0: () => ({ blink: 0 }),
  1: blink(1),
  2: blink(2),
  d: (state) => ({ difference: !state.difference }),
  g: (state) => ({ allHeads: !state.allHeads }),
  t: nextToken,
  w: wiped,
  ",": divider(-STEP),
  ".": divider(STEP),
  "[": matrix(-1),
  "]": matrix(1),
};

/**
 * The name of a key in the table; none where it belongs to the browser or to what has the focus.
 * @param {KeyboardEvent} event
 */
export function nameOf({ key, shiftKey, ctrlKey, metaKey, altKey, target, currentTarget }) {
  const isTyped = altKey && "[]".includes(key); // with AltGr, which is Ctrl and Alt, or a Mac's Option
  if (!isTyped && (ctrlKey || metaKey || altKey)) return null;
  const focused = /** @type {Element} */ (target);
  if (key === "Enter" && target !== currentTarget) return null;
  if (key === " " && focused.tagName === "BUTTON") return null;
  if (!key.startsWith("Arrow")) return key.length === 1 ? key.toLowerCase() : key;
  if (shiftKey) return `Shift+${key}`;
  return focused.matches("input[type=range]") ? null : key;
}
