// @ts-check
// Curves by layer, one line a model, each a small drawing that also chooses the layer; and the bars of predictions.

import { distance, entropy, own } from "./arithmetic.js";
import { queryName } from "./comparison.js";
import { element, svg } from "./dom.js";
import { number } from "./readings.js";
import { depthOf, queryOf } from "./state.js";

/** @import { HeadChoice, Model, State } from "./types.js" */

/** @typedef {(model: Model, query: number, layer: number, head: HeadChoice) => number} Measure */

/** @type {{ title: string, unit: string, measure: Measure, states: number }[]} `states` is 1 where a curve starts at the embedding */
const CURVES = [
  { title: "Entropy of this row", unit: "nats", measure: (m, q, l, h) => entropy(m, l, q, h), states: 0 },
  { title: "Attention distance", unit: "px", measure: (m, q, l, h) => distance(m, l, q, h), states: 0 },
  { title: "Similarity to the other patches", unit: "this token", measure: (m, q, l) => own(m, l, q), states: 1 },
  { title: "Token similarity, all patches", unit: "mean cosine", measure: (m, _, l) => m.similarity[l], states: 1 },
  { title: "‖A(V − AV)‖ / ‖AV‖", unit: "ratio, all heads", measure: (m, _, l) => m.residual[l], states: 0 },
];
const WIDTH = 240;
const HEIGHT = 110;
const LEFT = 34;
const SPAN = WIDTH - 44;

/** Where point `i` of `count` is across. */
const across = (/** @type {number} */ i, /** @type {number} */ count) => LEFT + (SPAN * i) / Math.max(1, count - 1);

/**
 * The figures, and what draws a state into them.
 * @param {Model[]} models
 * @param {(layer: number) => void} choose is called while the pointer moves over a curve
 */
export function createCharts(models, choose) {
  const charts = CURVES.map((curve) => createChart(curve, depthOf(models), choose));
  return {
    figures: charts.map((chart) => chart.figure),
    /** @param {State} state */
    draw(state) {
      const queries = models.map((model) => queryOf(state, model));
      charts.forEach((chart) => chart.draw(state, models, queries));
    },
  };
}

/**
 * @param {typeof CURVES[number]} curve
 * @param {number} depth
 * @param {(layer: number) => void} choose
 */
function createChart({ title, unit, measure, states }, depth, choose) {
  const lines = [0, 1].map((i) => svg("polyline", { class: `line m${i}`, fill: "none" }));
  const cursor = svg("line", { class: "mark", y1: 4, y2: HEIGHT - 16 });
  const top = svg("text", { x: 2, y: 12 });
  const bottom = svg("text", { x: 2, y: HEIGHT - 18 });
  const ends = [
    svg("text", { x: LEFT, y: HEIGHT - 3 }, String(1 - states)),
    svg("text", { x: WIDTH - 6, y: HEIGHT - 3, "text-anchor": "end" }, String(depth)),
  ];
  const label = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title} by layer` };
  const drawing = svg("svg", label, cursor, ...lines, top, bottom, ...ends);
  const legend = element("span", { class: "quiet" });
  drawing.onpointermove = (event) => {
    const box = drawing.getBoundingClientRect();
    const share = (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / SPAN;
    choose(Math.max(0, Math.min(depth - 1, Math.round(share * (depth - 1 + states)) - states)));
  };
  const figure = element("figure", { class: "chart" }, element("figcaption", {}, title, " ", legend), drawing);

  let drawn = "";
  /** @type {number[][]} by model and layer */
  let curves = [];
  /**
   * @param {State} state
   * @param {Model[]} models
   * @param {number[]} queries
   */
  function draw(state, models, queries) {
    const key = `${queries} ${state.head}`;
    if (drawn !== key) {
      curves = models.map((model, i) =>
        Array.from({ length: depth + states }, (_, l) => measure(model, queries[i], l, state.head)),
      );
      drawn = key;
    }
    const finite = curves.flat().filter(Number.isFinite);
    const high = Math.max(...finite, states ? 1 : 1e-9);
    const low = Math.min(0, ...finite);
    const upwards = (/** @type {number} */ value) => 6 + (HEIGHT - 26) * (1 - (value - low) / (high - low));
    curves.forEach((values, i) => lines[i].setAttribute("points", pointsOf(values, upwards)));
    const at = String(across(state.layer + states, depth + states));
    cursor.setAttribute("x1", at);
    cursor.setAttribute("x2", at);
    top.textContent = finite.length ? number(Number(high.toPrecision(2))) : "";
    bottom.textContent = low < 0 ? number(Number(low.toPrecision(2))) : "0";
    const here = curves.map((values) => number(values[state.layer + states]));
    legend.textContent = finite.length
      ? `${here.join(" · ")} ${unit}`
      : `a patch has one, ${queryName(state, models)} has none`;
  }
  return { figure, draw };
}

/**
 * The points of a line; what is no number has none.
 * @param {number[]} values
 * @param {(value: number) => number} upwards
 */
function pointsOf(values, upwards) {
  const points = values.map((value, i) =>
    Number.isFinite(value) ? `${across(i, values.length).toFixed(1)},${upwards(value).toFixed(1)}` : "",
  );
  return points.join(" ");
}

/**
 * A model's first classes and their probabilities.
 * @param {Model} model
 * @param {number} index
 */
export function predictionOf(model, index) {
  const box = element("div", { class: `prediction m${index}` }, element("strong", {}, `${model.name} predicts`));
  if (!model.top.length) box.append(element("p", { class: "quiet" }, "It names no classes."));
  for (const [name, share] of model.top) {
    const bar = element("i");
    bar.style.width = `${100 * share}%`;
    const percent = element("b", {}, `${(100 * share).toFixed(1)}%`);
    box.append(element("div", { class: "share" }, element("span", {}, name), bar, percent));
  }
  return box;
}
