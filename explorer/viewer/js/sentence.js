// @ts-check
// What is to be seen in the two rows that are drawn, in numbers and then in a sentence. Of a signed row the positive part
// counts; prefix tokens do not. Pure functions of numbers; `DEFINITIONS` says what each is.

import { headsOf, isSigned, mean, times } from "./arithmetic.js";
import { MEANINGS } from "./comparison.js";
import { element } from "./dom.js";
import { headInUse, isSameView } from "./state.js";

/** @import { HeadChoice, Model, Size, State } from "./types.js" */

const ROWS = ["upper", "middle", "lower"];
const COLUMNS = ["left", "middle", "right"];

/**
 * The positive part of values as shares of its sum; all 0 where there is none.
 * @param {ArrayLike<number>} values
 */
export function sharesOf(values) {
  const positive = Float64Array.from(values, (value) => Math.max(0, value));
  const sum = positive.reduce((total, value) => total + value, 0);
  return sum > 0 ? positive.map((value) => value / sum) : positive;
}

/**
 * The strongest tenth of the patches, at least one; of equal ones those that come first.
 * @param {ArrayLike<number>} values
 */
export function strongestTenth(values) {
  const order = Array.from(values, (_, i) => i).sort((a, b) => values[b] - values[a] || a - b);
  return order.slice(0, Math.ceil(values.length / 10));
}

/**
 * How much of a row lies on its strongest tenth of patches, and in which ninth of the picture most of it lies.
 * @param {ArrayLike<number>} values
 * @param {Size} grid
 */
export function concentrationOf(values, [rows, columns]) {
  const shares = sharesOf(values);
  const share = strongestTenth(values).reduce((sum, patch) => sum + shares[patch], 0);
  const ninths = new Float64Array(9);
  const third = (/** @type {number} */ at, /** @type {number} */ count) => Math.floor((3 * (at + 0.5)) / count);
  shares.forEach((each, i) => {
    ninths[3 * third(Math.floor(i / columns), rows) + third(i % columns, columns)] += each;
  });
  const ninth = ninths.indexOf(Math.max(...ninths));
  return { share, ninth, inside: ninths[ninth] };
}

/**
 * What a ninth of the picture is called.
 * @param {number} ninth
 */
export function regionName(ninth) {
  const [down, along] = [ROWS[Math.floor(ninth / 3)], COLUMNS[ninth % 3]];
  return ninth === 4 ? "centre" : `${down} ${along}`;
}

/**
 * How two rows over the same patches differ: their total variation, half the sum of |p − q| of their shares, and how
 * many of the strongest tenth of one are also among the other's.
 * @param {ArrayLike<number>} first
 * @param {ArrayLike<number>} second
 */
export function differenceOf(first, second) {
  const [p, q] = [sharesOf(first), sharesOf(second)];
  const variation = p.reduce((sum, value, i) => sum + Math.abs(value - q[i]), 0) / 2;
  const among = new Set(strongestTenth(first));
  const strongest = strongestTenth(second);
  return { variation, common: strongest.filter((patch) => among.has(patch)).length, count: strongest.length };
}

/**
 * What each token receives of A: `c_j`, the mean of column j over all queries; of several heads their mean. Sums to 1.
 * @param {Model} model
 * @param {number} layer
 * @param {HeadChoice} choice
 */
export function receivedOf(model, layer, choice) {
  const uniform = new Float32Array(model.tokens).fill(1 / model.tokens);
  const heads = headsOf(model, choice).map((head) => times(model, layer, head, uniform));
  return heads[0].map((_, token) => mean(heads.map((received) => received[token])));
}

/**
 * The patch that receives most, and how much.
 * @param {Model} model
 * @param {Float32Array} received by every token
 */
export function strongestReceiver({ prefix }, received) {
  const patches = received.subarray(prefix);
  const patch = patches.reduce((best, value, i) => (value > patches[best] ? i : best), 0);
  return { patch, share: patches[patch] };
}

// --- in words --------------------------------------------------------------------------------------------------------

const percent = (/** @type {number} */ share) => `${Math.round(100 * share)}%`;
/** A patch draws most of all attention where it receives more than half. */
const MAJORITY = 0.5;

/** @typedef {{ text: string, index?: number }} Part a name of a model has its index */

/**
 * What the maps show, in two or three sentences.
 * @param {State} state
 * @param {Model[]} models
 * @param {Float32Array[]} rows of both models, over the patches
 * @returns {Part[]}
 */
export function sentenceOf(state, models, rows) {
  const names = models.map(({ name }, index) => ({ text: name, index }));
  const weight = models.some((model) => isSigned(model, state.layer, state.matrix)) ? "positive weight" : "weight";
  const [first, second] = rows.map((values, i) => concentrationOf(values, models[i].grid));
  const share = (/** @type {number} */ value) => (state.matrix === "A − A²" ? "about " : "") + percent(value);
  const most = (/** @type {typeof first} */ { ninth, inside }) => `above all in the ${regionName(ninth)} (${share(inside)})`;
  /** @type {Part[]} */
  const parts = [
    names[0],
    { text: ` has ${share(first.share)} of the row's ${weight} on a tenth of the patches, ${most(first)}; ` },
    names[1],
    { text: ` ${share(second.share)}, ${most(second)}. ` },
  ];
  if (isSameView(models)) {
    const { variation, common, count } = differenceOf(rows[0], rows[1]);
    parts.push({
      text: `Of the weight, ${share(variation)} lies elsewhere in the other model; ${common} of the ${count} strongest patches are the same. `,
    });
  }
  return [...parts, ...receiverParts(state, models, names)];
}

/**
 * Whether a patch draws most of all attention in this layer, whatever the query.
 * @param {State} state
 * @param {Model[]} models
 * @param {Part[]} names
 * @returns {Part[]}
 */
function receiverParts(state, models, names) {
  if (models.some(({ matrices, layers }) => !matrices[Math.min(state.layer, layers - 1)])) return [];
  const strongest = models.map((model) =>
    strongestReceiver(model, receivedOf(model, Math.min(state.layer, model.layers - 1), headInUse(state))),
  );
  const sinks = strongest.flatMap(({ share, patch }, i) => (share > MAJORITY ? [{ share, patch, i }] : []));
  if (sinks.length === 0) {
    const [a, b] = strongest.map(({ share }) => percent(share));
    return [{ text: `No patch draws most of the layer's attention: the strongest gets ${a} and ${b} of it.` }];
  }
  return sinks.flatMap(({ share, patch, i }) => {
    const columns = models[i].grid[1];
    const place = `row ${Math.floor(patch / columns) + 1}, column ${(patch % columns) + 1}`;
    return [{ text: "In " }, names[i], { text: ` one patch (${place}) draws ${percent(share)} of the layer's attention. ` }];
  });
}

/** What is meant, for the list a click away. */
const DEFINITIONS = [
  ["weight", "the row that is drawn, over the patches; of a signed row its positive part; as shares of its sum"],
  ["a tenth of the patches", "the strongest tenth, rounded up; “above all”: the ninth of the picture, a third of its height by a third of its width, with the largest share"],
  ["elsewhere", "total variation: half the sum of |p − q| over the patches, p and q the two models' shares; 0% of equal rows, 100% of rows that share no patch"],
  ["the same", "how many of one model's strongest tenth are among the other's"],
  ["the layer's attention", "what a patch receives of A, whatever the matrix and the query drawn: the mean of its column over all queries and the chosen heads; “most” is more than half. Such a patch is called a sink"],
];

/** The sentence, and what it and the symbols mean a click away. */
export function createSentence() {
  const text = element("p", { class: "sentence" });
  const list = element("dl");
  for (const [term, meaning] of [...DEFINITIONS, ...Object.entries(MEANINGS)])
    list.append(element("dt", {}, term), element("dd", {}, meaning));
  const note =
    "Counted in the bytes that the maps are drawn of. On ten photographs shares of A and 2A − A² were right to within 0.3 " +
    "percentage points, those of A − A², where little is left of large numbers, to within 5.";
  const about = element("details", { class: "about" }, element("summary", {}, "How this is computed"), list, note);
  return {
    node: element("div", {}, text, about),
    /** @param {Part[]} parts */
    show(parts) {
      const nodes = parts.map(({ text, index }) =>
        index === undefined ? text : element("strong", { class: `m${index}` }, text),
      );
      text.replaceChildren(...nodes);
    },
  };
}
