// @ts-check
// A part of a lesson: sliders, and charts, maps, tables and words that follow them without the server. It was sent what it
// shows at every position, or is sent more while positions arrive; it says where it stands when a slider is left.

import { amountAt, nameAt, partIdentity, standsOf, unpackPart, wordsAt } from "./amounts.js";
import { reading } from "./axes.js";
import { element, isDark } from "./dom.js";
import { drawMap, tableOf } from "./paint.js";
import { createPlot, richText } from "./plot.js";

/** @import { HeatMap, LessonPart, Slider, Stands, Table } from "./lesson-types.js" */

/** Values of sliders by their keys, for as long as the page is open: parts and pages come and go. */
const PLACE = Symbol.for("explorer-lessons");
/** @type {Map<string, number>} */
const remembered = (/** @type {any} */ (globalThis)[PLACE] ??= new Map());
const REST = 600;
const AGAIN = 900;
const QUIET = 200;

/**
 * @typedef {{ tell: (values: Record<string, number>) => void, ask: (values: Record<string, number>) => void }} Server
 * `tell` says where the sliders were left; `ask` wants more positions, the one that is shown first.
 */

/**
 * Builds a part inside `root`.
 * @param {HTMLElement} root
 * @param {Server} server
 */
export function mountPart(root, server) {
  /** @type {LessonPart | null} */
  let part = null;
  /** @type {Record<string, number>} */
  let positions = {};
  /** @type {ReturnType<typeof createControl>[]} */
  let controls = [];
  /** @type {ReturnType<typeof createPlot>[]} */
  let plots = [];
  /** @type {ReturnType<typeof createHeatMap>[]} */
  let maps = [];
  let frame = 0;
  let resting = 0;
  let asking = 0;
  let isTold = true;
  /** Whether somebody came near a slider: until then nothing more is computed for it. */
  let isWanted = false;
  /** What was drawn last, while the position that was chosen is not there. */
  let drawn = positions;

  const row = element("div", { class: "sliders" });
  const waiting = element("p", { class: "waiting" });
  const mapBox = element("div", { class: "maps" });
  const chartBox = element("div", { class: "charts" });
  const tableBox = element("div", { class: "tables" });
  const wordBox = element("div", { class: "words" });
  const status = element("p", { class: "unseen", role: "status" });
  root.replaceChildren(row, waiting, mapBox, chartBox, tableBox, wordBox, status);
  const observer = new ResizeObserver(repaint);
  observer.observe(chartBox);

  /** @param {Uint8Array} bytes */
  function load(bytes) {
    if (part?.id === partIdentity(bytes)) return repaint();
    const before = part;
    part = unpackPart(bytes);
    const { sliders, charts } = part;
    if (JSON.stringify(before?.sliders) !== JSON.stringify(sliders)) {
      positions = Object.fromEntries(sliders.map((slider) => [slider.key, startOf(slider)]));
      drawn = positions;
      controls = sliders.map((slider) => createControl(slider, positions[slider.key], move));
      row.replaceChildren(...controls.map(({ label }) => label));
    }
    plots = charts.map((chart, i) => (plots[i]?.take(chart) ? plots[i] : createPlot(chart)));
    if (plots.some(({ figure }, i) => chartBox.children[i] !== figure) || chartBox.children.length !== plots.length) {
      chartBox.replaceChildren(...plots.map(({ figure }) => figure));
    }
    maps.forEach((map) => map.forget());
    maps = part.maps.map((map) => createHeatMap(map, /** @type {LessonPart} */ (part).colours));
    mapBox.replaceChildren(...maps.map(({ figure }) => figure));
    repaint();
    if (isWanted || !isReady(positions)) more(0);
  }

  /** Whether what these positions show is there. */
  const isReady = (/** @type {Record<string, number>} */ where) =>
    !part?.ready || part.ready[where[part.sliders[0].key]];

  /**
   * @param {string} key
   * @param {number} at
   */
  function move(key, at) {
    if (!part) return;
    positions = { ...positions, [key]: at };
    const slider = part.sliders.find((each) => each.key === key);
    if (slider) remembered.set(key, slider.values[at]);
    isTold = false;
    repaint();
    isWanted = true;
    more(QUIET); // while it moves, nothing is asked
  }

  function repaint() {
    if (!frame) frame = requestAnimationFrame(draw);
  }

  function draw() {
    frame = 0;
    if (!part) return;
    root.dataset.theme = isDark(root) ? "dark" : "light";
    const stands = standsOf(part.sliders, positions);
    controls.forEach((control) => control.show(stands[control.key].text));
    const isThere = isReady(positions);
    if (isThere) drawn = positions;
    else if (part.ready && !isReady(drawn)) drawn = { ...positions, [part.sliders[0].key]: part.ready.indexOf(true) };
    root.classList.toggle("missing", !isThere);
    waiting.hidden = part.ready === null;
    const hint = isWanted ? arrived(part) : "";
    waiting.textContent = isThere ? hint : `${stands[part.sliders[0].key].text} is being computed …`;
    const there = standsOf(part.sliders, drawn);
    plots.forEach((plot) => plot.draw(there));
    maps.forEach((map) => map.draw(there));
    tableBox.replaceChildren(...part.tables.map((table) => tableAt(table, there)));
    const words = part.words.map((each) => ({ kind: each.kind, text: wordsAt(each, there) })).filter(({ text }) => text);
    wordBox.replaceChildren(...words.map(({ kind, text }) => element("p", { class: kind }, ...richText(text))));
    root.dataset.painted = `${part.id} ${Object.values(drawn)}`;
    clearTimeout(resting);
    resting = setTimeout(() => {
      status.textContent = [...words.map(({ text }) => text.replaceAll("**", "")), ...plots.map((plot) => plot.describe())].join(" ");
    }, REST);
  }

  /** Asks for positions that are not there, while somebody looks and no slider moves. */
  function more(/** @type {number} */ delay) {
    clearTimeout(asking);
    asking = 0;
    if (!part?.ready?.includes(false)) return;
    asking = setTimeout(() => {
      if (document.hidden) return more(REST);
      isTold = true;
      server.ask(values());
      more(AGAIN); // where what comes is late, or nothing comes
    }, delay);
  }

  const values = () =>
    Object.fromEntries((part?.sliders ?? []).map((slider) => [slider.key, slider.values[positions[slider.key]]]));

  function left() {
    if (isTold) return;
    isTold = true;
    server.tell(values());
  }
  function want() {
    if (isWanted) return;
    isWanted = true;
    more(0);
  }
  row.addEventListener("focusout", left);
  row.addEventListener("focusin", want);
  row.addEventListener("pointerenter", want);

  function destroy() {
    observer.disconnect();
    cancelAnimationFrame(frame);
    clearTimeout(resting);
    clearTimeout(asking);
    maps.forEach((map) => map.forget());
    part = null;
  }
  return { load, move, destroy };
}

/** The position whose value was chosen before, or where the slider starts. */
function startOf(/** @type {Slider} */ { key, values, start }) {
  const value = remembered.get(key);
  if (value === undefined) return start;
  const far = values.map((each) => Math.abs(each - value));
  return far.indexOf(Math.min(...far));
}

const arrived = (/** @type {LessonPart} */ { ready }) => {
  const there = ready?.filter(Boolean).length ?? 0;
  return there === ready?.length ? "" : `${there} of ${ready?.length} places are computed; the others follow.`;
};

/**
 * A native slider; its text stands beside its name and is what a screen reader says.
 * @param {Slider} slider
 * @param {number} at
 * @param {(key: string, at: number) => void} move
 */
function createControl({ key, label: name, texts, help }, at, move) {
  const output = element("output", { "aria-hidden": "true" });
  const input = element("input", { type: "range", min: 0, max: texts.length - 1, step: 1, value: at, "aria-label": name });
  input.oninput = () => move(key, Number(input.value));
  const label = element("label", { class: "slider" }, element("span", {}, name, " ", output), input);
  if (help) label.append(element("small", {}, help));
  return {
    key,
    label,
    /** @param {string} text */
    show(text) {
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
    },
  };
}

/**
 * @param {Table} table
 * @param {Stands} stands
 */
function tableAt({ columns, rows }, stands) {
  const head = element("tr", {}, ...columns.map((column) => element("th", { scope: "col" }, ...richText(column))));
  const lines = rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, wordsAt(cell, stands)))));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...lines));
}

/**
 * A heatmap over its photograph, with the number under the pointer.
 * @param {HeatMap} map
 * @param {Record<string, Uint8Array>} colours
 */
function createHeatMap({ title, alt, values, ends, grid, photo }, colours) {
  const url = URL.createObjectURL(new Blob([photo]));
  const canvas = element("canvas", { role: "img", "aria-label": alt });
  const stack = element("div", { class: "stack" }, element("img", { src: url, alt: "" }), canvas);
  const caption = element("span", { class: "reading-below" });
  const name = element("strong");
  const figure = element("figure", { class: "heat" }, element("figcaption", {}, name, " ", caption), stack);
  stack.style.aspectRatio = `${grid[1]} / ${grid[0]}`;
  /** @type {Float64Array} */
  let now = new Float64Array();
  /** @type {number | null} the patch under the pointer */
  let patch = null;
  const read = () => {
    if (patch === null) caption.textContent = "";
    else caption.textContent = `row ${Math.floor(patch / grid[1]) + 1}, column ${(patch % grid[1]) + 1}: ${reading(now[patch])}`;
  };
  stack.onpointermove = ({ clientX, clientY }) => {
    const box = stack.getBoundingClientRect();
    const index = (/** @type {number} */ share, /** @type {number} */ count) =>
      Math.max(0, Math.min(count - 1, Math.floor(share * count)));
    patch = index((clientY - box.top) / box.height, grid[0]) * grid[1] + index((clientX - box.left) / box.width, grid[1]);
    read();
  };
  stack.onpointerleave = () => {
    patch = null;
    read();
  };
  return {
    figure,
    /** @param {Stands} stands */
    draw(stands) {
      name.replaceChildren(...richText(nameAt(title, stands)));
      now = amountAt(values, stands);
      const [low, high] = amountAt(ends, stands);
      const table = tableOf(colours, "cividis", { low, high });
      drawMap(canvas, Float32Array.from(now), grid, { low, high }, { table, opacity: 0.8, drawing: "smooth", side: 168 });
      read();
    },
    forget: () => URL.revokeObjectURL(url),
  };
}

/** @type {WeakMap<HTMLElement, ReturnType<typeof mountPart>>} */
const parts = new WeakMap();

/** @param {{ data: Uint8Array | ArrayBuffer | null, parentElement: HTMLElement, setStateValue: (name: string, value: unknown) => void, setTriggerValue: (name: string, value: unknown) => void }} component */
export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = /** @type {HTMLElement} */ (parentElement.querySelector(".lesson"));
  const server = {
    tell: (/** @type {Record<string, number>} */ values) => setStateValue("left", values),
    ask: (/** @type {Record<string, number>} */ values) => setTriggerValue("more", values),
  };
  const part = parts.get(root) ?? mountPart(root, server);
  parts.set(root, part);
  if (data) part.load(data instanceof Uint8Array ? data : new Uint8Array(data));
  return () => {
    part.destroy();
    parts.delete(root);
  };
}
