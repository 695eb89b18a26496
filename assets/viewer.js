// The attention viewer: two models under one cursor, every layer at once, nothing asked of a server.
//
// It receives A of both models once (see `explorer/viewer.py` for the bytes) and computes the rows of every other
// matrix from `r = A[q]` and `r A`. Values are right within 1% of the largest entry of the query's row of A (of the
// rollout's own), for filters between standard and twicing.
//
// Three parts: arithmetic (pure functions), the picture of a map, and the viewer itself. It knows nothing of Streamlit
// but for the adapter on the last lines.

// --- arithmetic ------------------------------------------------------------------------------------------------------

const SQUARES = Float32Array.from({ length: 256 }, (_, code) => (code / 255) ** 2);
export const MATRICES = ["effective", "A", "A − A²", "2A − A²", "rollout"];
const COEFFICIENTS = { A: 1, "2A − A²": 2 };

/** The text of a payload's header, and where its sections begin. */
function headerOf(bytes) {
  const start = new Uint8Array(bytes.buffer, bytes.byteOffset, 8);
  if (String.fromCharCode(...start.subarray(0, 4)) !== "TWX1") throw new Error("A payload of the viewer was expected.");
  const base = 8 + new DataView(bytes.buffer, bytes.byteOffset + 4, 4).getUint32(0, true);
  return { text: new TextDecoder().decode(bytes.subarray(8, base)), base };
}

/** The identity of a payload, without unpacking it: the last entry of its header. */
export const identity = (bytes) => headerOf(bytes).text.match(/"id":"(\w+)"} *$/)?.[1];

/** The header of a payload, with its sections as typed arrays and blobs. */
export function unpack(bytes) {
  const { text, base } = headerOf(bytes);
  const header = JSON.parse(text);
  const floats = ({ at, size }) => new Float32Array(bytes.slice(base + at, base + at + size).buffer);
  const codes = ({ at, size }) => bytes.subarray(base + at, base + at + size);
  for (const model of header.models) {
    model.codes = codes(model.attention);
    model.scales = floats(model.scales);
    model.each = floats(model.each);
    if (model.squares) {
      model.squareCodes = codes(model.squares);
      model.squareScales = floats(model.square_scales);
      model.entropies = floats(model.entropies);
      model.distances = floats(model.distances);
    }
    model.photo = codes(model.picture);
  }
  for (const name of Object.keys(header.colours)) {
    header.colours[name] = Uint8Array.from(atob(header.colours[name]), (c) => c.charCodeAt(0));
  }
  return header;
}

/** Row `query` of A in a layer and head; -1 is the mean over the patches' rows. */
export function row(model, layer, head, query, codes = model.codes, scales = model.scales) {
  const n = model.tokens;
  if (query < 0) return times({ ...model, codes, scales }, layer, head, start(model, query));
  const line = (layer * model.heads + head) * n + query;
  const scale = scales[line];
  const result = new Float32Array(n);
  for (let key = 0, at = line * n; key < n; key++, at++) result[key] = scale * SQUARES[codes[at]];
  return result;
}

/** The row vector that picks a row, or the mean of the patches' rows. */
function start(model, query) {
  const r = new Float32Array(model.tokens);
  if (query < 0) r.fill(1 / (model.tokens - model.prefix), model.prefix);
  else r[query] = 1;
  return r;
}

/** `r A`: a row vector times the matrix of a layer and head. */
export function times({ tokens: n, heads, codes, scales }, layer, head, r) {
  const first = (layer * heads + head) * n;
  const result = new Float32Array(n);
  for (let query = 0; query < n; query++) {
    const weight = (r[query] * scales[first + query]) / 255 ** 2; // quicker than a look-up in SQUARES
    if (weight === 0) continue;
    for (let key = 0, at = (first + query) * n; key < n; key++, at++) result[key] += weight * (codes[at] * codes[at]);
  }
  return result;
}

const combine = (c, r, rA) => r.map((value, i) => c * value + (1 - c) * rA[i]);

/** `r A²`'s counterpart of a row: by a product, or sent where only means over heads were. */
const squared = (model, layer, head, query, r) =>
  model.squareCodes
    ? row(model, layer, head, query, model.squareCodes, model.squareScales)
    : times(model, layer, head, r);

/** Row `query` of a matrix other than rollout, in one head. */
export function matrixRow(model, layer, head, query, matrix) {
  const r = row(model, layer, head, query);
  const c = matrix === "effective" ? model.filter[layer] : COEFFICIENTS[matrix];
  if (c === 1) return r;
  const rA = squared(model, layer, head, query, r);
  return c === undefined ? r.map((value, i) => value - rA[i]) : combine(c, r, rA);
}

/** Row `query` of the rollout up to a layer: e_q (E_l + I)/2 ... (E_1 + I)/2, E the mean of the effective matrices. */
export function rolloutRow(model, layer, query) {
  let r = start(model, query);
  for (let l = layer; l >= 0; l--) {
    const next = r.map((value) => value / 2);
    const c = model.filter[l];
    for (let head = 0; head < model.heads; head++) {
      const rA = times(model, l, head, r);
      let e = rA;
      if (c !== 1) e = combine(c, rA, model.squareCodes ? timesSquares(model, l, r) : times(model, l, head, rA));
      for (let i = 0; i < e.length; i++) next[i] += e[i] / (2 * model.heads);
    }
    r = next;
  }
  return r;
}

function timesSquares(model, layer, r) {
  return times({ ...model, codes: model.squareCodes, scales: model.squareScales }, layer, 0, r);
}

/** One value per token: the row of the query, heads combined as chosen (`mean`, `max` or a head from 0). */
export function tokenValues(model, layer, query, matrix, choice) {
  if (matrix === "rollout") return rolloutRow(model, layer, query);
  if (typeof choice === "number") return matrixRow(model, layer, Math.min(choice, model.heads - 1), query, matrix);
  const rows = Array.from({ length: model.heads }, (_, head) => matrixRow(model, layer, head, query, matrix));
  return rows[0].map((_, i) => {
    if (choice === "mean") return rows.reduce((sum, one) => sum + one[i], 0) / rows.length;
    return rows.reduce((best, one) => (Math.abs(one[i]) > Math.abs(best) ? one[i] : best), 0);
  });
}

/** The same over the patches, prefix tokens left out. */
export const patchValues = (model, ...rest) => tokenValues(model, ...rest).subarray(model.prefix);

export function isSigned(model, layer, matrix) {
  if (matrix === "A") return false;
  if (matrix === "A − A²" || matrix === "2A − A²") return true;
  const involved = matrix === "rollout" ? model.filter.slice(0, layer + 1) : [model.filter[layer]];
  return involved.some((a) => a < 0 || a > 1);
}

const headsOf = (model, choice) =>
  typeof choice === "number" ? [Math.min(choice, model.heads - 1)] : Array.from({ length: model.heads }, (_, h) => h);

/** Entropy of the query's row of A in nats, the mean over the chosen heads. */
export function entropy(model, layer, query, choice) {
  if (model.entropies) return model.entropies[layer * (model.tokens + 1) + (query < 0 ? model.tokens : query)];
  const heads = headsOf(model, choice);
  const each = heads.map((head) =>
    row(model, layer, head, query).reduce((h, a) => (a > 0 ? h - a * Math.log(a) : h), 0),
  );
  return each.reduce((sum, h) => sum + h, 0) / heads.length;
}

/** Mean distance in pixels of the model's input from the query's patch to what it looks at; NaN for a prefix token. */
export function distance(model, layer, query, choice) {
  if (query < model.prefix) return NaN;
  const [rows, columns] = model.grid;
  const at = query - model.prefix;
  if (model.distances) return model.distances[layer * rows * columns + at];
  const heads = headsOf(model, choice);
  const each = heads.map((head) => {
    const r = row(model, layer, head, query).subarray(model.prefix);
    let total = 0;
    let sum = 0;
    for (let p = 0; p < rows * columns; p++) {
      const y = (Math.floor(p / columns) - Math.floor(at / columns)) * model.patch[0];
      const x = ((p % columns) - (at % columns)) * model.patch[1];
      total += r[p];
      sum += r[p] * Math.hypot(y, x);
    }
    return total > 0 ? sum / total : 0;
  });
  return each.reduce((sum, d) => sum + d, 0) / heads.length;
}

/** Mean cosine of a token with the other patches after `state` blocks, sent for every token. */
export const own = (model, state, query) =>
  query < 0 ? model.similarity[state] : model.each[state * model.tokens + query];

/** Largest magnitude. */
export const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1e-12;

/** The colour range of each of several maps in a layer. */
export function ranges(maps, signs, scale) {
  const any = signs.some(Boolean);
  const make = (signed, high) => ({ low: signed ? -high : 0, high });
  if (scale === "absolute") return maps.map(() => make(any, 1));
  if (scale === "shared") return maps.map(() => make(any, Math.max(...maps.map(largest))));
  return maps.map((values, i) => make(signs[i], largest(values)));
}

export function number(value) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  const text = size >= 0.001 && size < 1000 ? value.toPrecision(3) : value.toExponential(1);
  return text.replace("-", "−");
}

/** What can be told from 0: 1% of the largest entry of the query's row of A, the accuracy of all that is computed. */
export function finest(model, layer, query, choice) {
  if (query < 0) return 0.01 * largest(tokenValues(model, layer, query, "A", choice));
  const scales = headsOf(model, choice).map(
    (head) => model.scales[(layer * model.heads + head) * model.tokens + query],
  );
  return 0.01 * (choice === "max" ? Math.max(...scales) : scales.reduce((sum, s) => sum + s, 0) / scales.length);
}

/** A value to be read: below the accuracy of what was sent it is only bounded. */
export const reading = (value, bound) => (Math.abs(value) < bound ? `< ${number(bound)}` : number(value));

/** The patch at a place of the picture, both in shares of height and width. */
export function patchAt(grid, place) {
  const [row, column] = place.map((share, i) => Math.max(0, Math.min(grid[i] - 1, Math.floor(share * grid[i]))));
  return { row, column, index: row * grid[1] + column };
}

export const tokenAt = (model, place) => (place ? model.prefix + patchAt(model.grid, place).index : model.rest);

// --- the picture of a map --------------------------------------------------------------------------------------------

/** Values on a finer grid: bilinear between the patches' centres. */
export function refine(values, [rows, columns], [height, width]) {
  const result = new Float32Array(height * width);
  const steps = (count, length) =>
    Array.from({ length }, (_, i) => {
      const at = Math.max(0, Math.min(count - 1, ((i + 0.5) * count) / length - 0.5));
      const low = Math.floor(at);
      return [low, Math.min(count - 1, low + 1), at - low];
    });
  const across = steps(columns, width);
  steps(rows, height).forEach(([top, bottom, down], y) => {
    for (let x = 0; x < width; x++) {
      const [left, right, along] = across[x];
      const upper = values[top * columns + left] * (1 - along) + values[top * columns + right] * along;
      const lower = values[bottom * columns + left] * (1 - along) + values[bottom * columns + right] * along;
      result[y * width + x] = upper * (1 - down) + lower * down;
    }
  });
  return result;
}

/** RGBA of values: colour and opacity both carry the value, so that low attention leaves the photograph as it is. */
export function paint(values, { low, high }, table, opacity, target = new Uint8ClampedArray(4 * values.length)) {
  const signed = low < 0;
  for (let i = 0, at = 0; i < values.length; i++, at += 4) {
    const unit = Math.max(0, Math.min(1, (values[i] - low) / (high - low)));
    const colour = 3 * Math.round(255 * unit);
    target[at] = table[colour];
    target[at + 1] = table[colour + 1];
    target[at + 2] = table[colour + 2];
    // Small signed values are nearly white: what a power below 1 gave them would lie on the photograph like haze.
    target[at + 3] = 255 * opacity * (signed ? Math.abs(2 * unit - 1) : unit ** 0.6);
  }
  return target;
}

/** Keeps only the lines between eighths of the range. */
export function contours(values, [height, width], { low, high }, rgba) {
  const level = (i) => Math.floor((8 * (values[i] - low)) / (high - low));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      const edge = (x + 1 < width && level(i) !== level(i + 1)) || (y + 1 < height && level(i) !== level(i + width));
      rgba[4 * i + 3] = edge ? 255 : 0;
    }
  }
  return rgba;
}

function drawMap(canvas, values, grid, range, table, opacity, drawing, side) {
  const size = drawing === "cells" ? grid : [side, Math.max(1, Math.round((side * grid[1]) / grid[0]))];
  const [height, width] = size;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const fine = drawing === "cells" ? values : refine(values, grid, size);
  const rgba = paint(fine, range, table, opacity);
  if (drawing === "contours") contours(fine, size, range, rgba);
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
}

// --- the viewer ------------------------------------------------------------------------------------------------------

const SCALES = ["map", "shared", "absolute"];
const DRAWINGS = ["smooth", "cells", "contours"];
const MAPS = ["cividis", "viridis", "magma"];
const SIDE = 168;
const KEYS =
  "← → layer · ↑ ↓ head · Shift with arrows moves the patch · Enter pins it · Esc back · Space plays · 1 2 one model in " +
  "both places · 0 side by side · D difference · G all heads · [ ] matrix";
const DEFAULTS = { layer: null, head: "mean", place: null, pinned: false, matrix: "effective", scale: "shared" };
const LOOKS = { colours: "cividis", opacity: 0.85, drawing: "smooth", difference: false, blink: 0, allHeads: false };
let remembered = null;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made[name] = value;
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const SVG = "http://www.w3.org/2000/svg";
function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** State as it stands in an address, in what people count from 1. */
export function toParameters(state) {
  const place = state.place ? state.place.map((share) => share.toFixed(4)).join(",") : "cls";
  return {
    layer: String(state.layer + 1),
    head: typeof state.head === "number" ? String(state.head + 1) : state.head,
    query: state.pinned ? place : "rest",
    matrix: state.matrix,
    scale: state.scale,
  };
}

export function fromParameters(parameters) {
  const state = {};
  const layer = Number(parameters.get("layer"));
  if (Number.isInteger(layer) && layer >= 1) state.layer = layer - 1;
  const head = parameters.get("head");
  if (head === "mean" || head === "max") state.head = head;
  else if (Number(head) >= 1) state.head = Math.floor(Number(head)) - 1;
  const matrix = parameters.get("matrix") ?? parameters.get("operator"); // as links of earlier versions call it
  if (MATRICES.includes(matrix)) state.matrix = matrix;
  if (SCALES.includes(parameters.get("scale"))) state.scale = parameters.get("scale");
  if (parameters.get("query") === "cls") Object.assign(state, { place: null, pinned: true });
  const place = (parameters.get("query") ?? "").split(",").map(Number);
  if (place.length === 2 && place.every((share) => share >= 0 && share < 1))
    Object.assign(state, { place, pinned: true });
  return state;
}

/**
 * Builds the viewer inside `root`. `address` reads and writes where the state can be shared, `save` takes it,
 * `announce` is told the state whenever it changes, and that it is fresh when new data came.
 */
export function mount(root, { address = null, save = null, announce = null } = {}) {
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let header = null;
  let state = { ...DEFAULTS, ...LOOKS };
  let parts = null;
  let frame = 0;
  let pending = null;
  let playing = 0;
  let writing = 0;

  const models = () => header.models;
  const depth = () => Math.min(...models().map((model) => model.layers));
  const heads = () => Math.min(...models().map((model) => model.heads));
  /** Large pairs are sent as means over their heads. */
  const isAveraged = () => models().some((model) => model.squareCodes);
  /** Rollout takes its own mean over heads: none of them has one. */
  const shownHead = () => (state.matrix === "rollout" ? "mean" : state.head);
  /** The heads that have a row of their own in the strips. */
  const stripHeads = () => (state.allHeads && state.matrix !== "rollout" ? heads() : 0);
  /** Whether a patch is the same region of the photograph in both models. */
  const sameView = () => ["grid", "crop"].every((key) => String(models()[0][key]) === String(models()[1][key]));
  /** Which model a place shows. */
  const indexAt = (place) => (state.blink ? state.blink - 1 : place);

  function load(bytes) {
    if (header && header.id === identity(bytes)) return repaint();
    header = unpack(bytes);
    if (header.state)
      Object.assign(state, { place: null, pinned: false }, fromParameters(new URLSearchParams(header.state)));
    else if (!parts && address) Object.assign(state, remembered ?? {}, fromParameters(address.read()));
    state.layer = Math.min(state.layer ?? depth() - 1, depth() - 1);
    if (isAveraged()) Object.assign(state, { head: "mean", allHeads: false });
    else if (typeof state.head === "number" && state.head >= heads()) state.head = "mean";
    if (!state.pinned) state.place = null;
    build();
    repaint();
    announce?.(state, true);
  }

  function set(change) {
    Object.assign(state, change);
    repaint();
    announce?.(state, false);
  }

  const isDark = () => {
    const probe = getComputedStyle(root)
      .backgroundColor.match(/[\d.]+/g)
      ?.map(Number) ?? [255, 255, 255];
    return probe.length < 4 || probe[3] > 0
      ? probe[0] + probe[1] + probe[2] < 384
      : matchMedia("(prefers-color-scheme: dark)").matches;
  };

  // Controls

  function choice(label, options, key, help, text = (option) => option) {
    const buttons = options.map((option) =>
      element("button", { type: "button", onclick: () => set({ [key]: option }), "data-value": option }, text(option)),
    );
    const group = element("div", { class: "choice", role: "group", "aria-label": label, title: help }, ...buttons);
    group.show = () => {
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(options[i] === state[key])));
    };
    return element("div", { class: "control" }, element("span", {}, label), group);
  }

  function build() {
    forget();
    const one = (index) => {
      const model = models()[index];
      const photo = element("img", { alt: "", draggable: "false", src: URL.createObjectURL(new Blob([model.photo])) });
      const canvas = element("canvas", { "aria-hidden": "true" });
      const query = element("div", { class: "outline" });
      const cursor = element("div", { class: "outline cursor" });
      const stack = element("div", { class: "stack" }, photo, canvas, query, cursor);
      const name = element("strong");
      const label = element("span", { class: "quiet" });
      const figure = element("figure", { class: `map m${index}` }, element("figcaption", {}, name, label), stack);
      listen(stack, index);
      return { photo, canvas, query, cursor, stack, name, label, figure };
    };
    const maps = [one(0), one(1)];
    const slider = element("input", {
      type: "range",
      min: 1,
      max: depth(),
      "aria-label": "Layer",
      oninput: (e) => set({ layer: Number(e.target.value) - 1 }),
    });
    const layer = element("output");
    const play = element(
      "button",
      { type: "button", class: "plain", onclick: togglePlay, title: "Play through the layers (Space)" },
      "▶",
    );
    const opacity = element("input", {
      type: "range",
      min: 0,
      max: 1,
      step: 0.05,
      "aria-label": "Opacity",
      oninput: (e) => set({ opacity: Number(e.target.value) }),
    });
    const averaged = isAveraged();
    const headOptions = averaged ? ["mean"] : ["mean", "max", ...Array.from({ length: heads() }, (_, h) => h)];
    const groups = [
      choice(
        "Head",
        headOptions,
        "head",
        averaged
          ? "This model is large: only means over its heads are sent."
          : "max: patch by patch, the head of largest magnitude",
        (h) => (typeof h === "number" ? String(h + 1) : h),
      ),
      choice(
        "Matrix",
        MATRICES,
        "matrix",
        "effective: what a block applies to V, A in a standard block, 2A − A² in a twicing one",
      ),
      choice("Scale", SCALES, "scale", "map: each map's own largest value; shared: the largest of both; absolute: 1"),
      choice("Colours", MAPS, "colours", "Signed data is always blue, white and red, centred at 0"),
      choice(
        "Draw",
        DRAWINGS,
        "drawing",
        "smooth: bilinear between patches; cells: one flat cell a patch; contours: lines at eighths",
      ),
    ];
    const toggle = (text, key, title) =>
      element(
        "button",
        { type: "button", class: "toggle", "data-key": key, title, onclick: () => set({ [key]: !state[key] }) },
        text,
      );
    const rest = element("button", {
      type: "button",
      class: "toggle rest",
      onclick: toRest,
      title: "Esc. Pressed: the pointer reads values instead of choosing a patch",
    });
    const buttons = [
      rest,
      toggle("Difference", "difference", "D: second model minus first, on the right"),
      toggle("All heads", "allHeads", "G: layers by heads below"),
    ];
    if (header.link)
      buttons.push(element("button", { type: "button", class: "toggle", onclick: copyLink }, "Copy link"));
    else if (save)
      buttons.push(
        element(
          "button",
          { type: "button", class: "toggle", onclick: () => save(toParameters(state)) },
          "Save the view",
        ),
      );
    const bar = element("canvas", { class: "bar", width: 256, height: 1, "aria-hidden": "true" });
    const ticks = element("div", { class: "ticks" }, element("span"), element("span"), element("span"));
    const live = element("p", { class: "live", role: "status", "aria-live": "polite" });
    const strips = [0, 1].map((index) => element("div", { class: `strip m${index}` }));
    const charts = element("div", { class: "charts" });
    const predictions = element("div", { class: "predictions" });
    root.replaceChildren(
      element(
        "div",
        { class: "tools" },
        element(
          "label",
          { class: "control layer" },
          element("span", {}, "Layer ", layer),
          element("div", { class: "line" }, slider, play),
        ),
        ...groups,
        element("label", { class: "control" }, element("span", {}, "Opacity"), opacity),
      ),
      element("div", { class: "tools" }, ...buttons),
      element("div", { class: "pair" }, ...maps.map((map) => map.figure)),
      element("div", { class: "scale" }, bar, ticks),
      live,
      ...strips,
      charts,
      predictions,
      element("p", { class: "quiet keys" }, KEYS),
    );
    root.tabIndex = 0;
    root.setAttribute("role", "application");
    root.setAttribute("aria-label", "Attention of both models. " + KEYS);
    root.onkeydown = onKey;
    parts = {
      maps,
      photos: maps.map((map) => map.photo.src),
      slider,
      layer,
      play,
      opacity,
      groups,
      rest,
      bar,
      ticks,
      live,
      strips,
      charts,
      predictions,
      cells: [],
    };
    buildStrips();
    parts.series = buildCharts();
    predictions.replaceChildren(...models().map(prediction));
  }

  /** Under a small map: its layer; of many heads, the head once a line and the layer under the last line. */
  function caption(layer, head) {
    if (head === null || (head === heads() - 1 && layer > 0)) return String(layer + 1);
    return layer === 0 ? `head ${head + 1}` : "";
  }

  function buildStrips() {
    parts.stripHeads = stripHeads();
    parts.cells = models().map((model, index) => {
      const cells = [];
      const rows = stripHeads() ? Array.from({ length: heads() }, (_, h) => h) : [null];
      const lines = rows.map((head) => {
        const line = Array.from({ length: depth() }, (_, layer) => {
          const canvas = element("canvas", { width: 1, height: 1 });
          const photo = element("img", { alt: "", src: parts.photos[index], draggable: "false" });
          const button = element(
            "button",
            {
              type: "button",
              class: "cell",
              tabindex: -1,
              onclick: () => set(head === null ? { layer } : { layer, head }),
            },
            photo,
            canvas,
            element("span", {}, caption(layer, head)),
          );
          button.title = head === null ? `layer ${layer + 1}` : `layer ${layer + 1}, head ${head + 1}`;
          cells.push({ button, canvas, layer, head });
          return button;
        });
        return element("div", { class: "cells" }, ...line);
      });
      parts.strips[index].replaceChildren(
        element("strong", {}, `${model.name}, all layers${stripHeads() ? " and heads" : ""}`),
        ...lines,
      );
      return cells;
    });
  }

  function prediction(model, index) {
    const box = element("div", { class: `prediction m${index}` }, element("strong", {}, `${model.name} predicts`));
    if (!model.top.length) box.append(element("p", { class: "quiet" }, "It names no classes."));
    for (const [name, share] of model.top) {
      const line = element(
        "div",
        { class: "share" },
        element("span", {}, name),
        element("i"),
        element("b", {}, `${(100 * share).toFixed(1)}%`),
      );
      line.children[1].style.width = `${100 * share}%`;
      box.append(line);
    }
    return box;
  }

  // Charts

  const CHARTS = [
    ["Entropy of this row", "nats", (m, q, l) => entropy(m, l, q, state.head), 0],
    ["Attention distance", "px", (m, q, l) => distance(m, l, q, state.head), 0],
    ["Similarity to the other patches", "this token", (m, q, l) => own(m, l, q), 1],
    ["Token similarity, all patches", "mean cosine", (m, q, l) => m.similarity[l], 1],
    ["‖A(V − AV)‖ / ‖AV‖", "ratio, all heads", (m, q, l) => m.residual[l], 0],
  ];
  const WIDTH = 240;
  const HEIGHT = 110;

  /** `states` is 1 where a curve starts at the embedding. */
  function buildCharts() {
    const series = CHARTS.map(([title, unit, value, states]) => {
      const lines = [0, 1].map((i) => svg("polyline", { class: `line m${i}`, fill: "none" }));
      const cursor = svg("line", { class: "mark", y1: 4, y2: HEIGHT - 16 });
      const high = svg("text", { x: 2, y: 12 });
      const low = svg("text", { x: 2, y: HEIGHT - 18 });
      const ends = [
        svg("text", { x: 34, y: HEIGHT - 3 }, String(1 - states)),
        svg("text", { x: WIDTH - 6, y: HEIGHT - 3, "text-anchor": "end" }, String(depth())),
      ];
      const drawing = svg(
        "svg",
        { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title} by layer` },
        cursor,
        ...lines,
        high,
        low,
        ...ends,
      );
      const reading = element("span", { class: "quiet" });
      drawing.onpointermove = (event) => {
        const box = drawing.getBoundingClientRect();
        const share = (((event.clientX - box.left) / box.width) * WIDTH - 34) / (WIDTH - 44);
        const at = Math.round(share * (depth() - 1 + states)) - states;
        const layer = Math.max(0, Math.min(depth() - 1, at));
        if (layer !== state.layer) set({ layer });
      };
      parts.charts.append(
        element("figure", { class: "chart" }, element("figcaption", {}, title, " ", reading), drawing),
      );
      return { lines, cursor, high, low, reading, unit, value, states };
    });
    return series;
  }

  function drawCharts(queries) {
    const key = `${queries} ${state.head}`;
    for (const chart of parts.series) {
      if (parts.charted !== key) {
        chart.values = models().map((model, i) =>
          Array.from({ length: depth() + chart.states }, (_, l) => chart.value(model, queries[i], l)),
        );
      }
      const { values } = chart;
      const finite = values.flat().filter(Number.isFinite);
      const high = Math.max(...finite, chart.states ? 1 : 1e-9);
      const low = Math.min(0, ...finite);
      const x = (i, count) => 34 + ((WIDTH - 44) * i) / Math.max(1, count - 1);
      const y = (value) => 6 + (HEIGHT - 26) * (1 - (value - low) / (high - low));
      values.forEach((line, m) => {
        const points = line.map((value, i) =>
          Number.isFinite(value) ? `${x(i, line.length).toFixed(1)},${y(value).toFixed(1)}` : "",
        );
        chart.lines[m].setAttribute("points", points.join(" "));
      });
      const at = x(state.layer + chart.states, depth() + chart.states);
      chart.cursor.setAttribute("x1", at);
      chart.cursor.setAttribute("x2", at);
      chart.high.textContent = finite.length ? number(Number(high.toPrecision(2))) : "";
      chart.low.textContent = low < 0 ? number(Number(low.toPrecision(2))) : "0";
      const here = values.map((line) => line[state.layer + chart.states]);
      chart.reading.textContent = finite.length
        ? `${here.map(number).join(" · ")} ${chart.unit}`
        : `a patch has one, ${queryName()} has none`;
    }
    parts.charted = key;
  }

  // Painting

  function repaint() {
    if (!frame) frame = requestAnimationFrame(drawAll);
  }

  function compute(layer, choice = state.head) {
    const queries = models().map((model) => tokenAt(model, state.place));
    const values = models().map((model, i) =>
      patchValues(model, Math.min(layer, model.layers - 1), queries[i], state.matrix, choice),
    );
    const signs = models().map((model) => isSigned(model, Math.min(layer, model.layers - 1), state.matrix));
    return { values, signs, spans: ranges(values, signs, state.scale) };
  }

  const table = (range) => header.colours[range.low < 0 ? "diverging" : state.colours];

  function drawAll() {
    frame = 0;
    if (!header) return;
    remembered = { ...state };
    const palette = header.palettes[isDark() ? "dark" : "light"];
    root.style.setProperty("--one", palette[0]);
    root.style.setProperty("--two", palette[1]);
    if (parts.stripHeads !== stripHeads()) buildStrips();
    const shown = compute(state.layer);
    const difference = state.difference && sameView();
    const labels = models().map((model) => (state.matrix === "effective" ? model.label : state.matrix));
    const change = difference ? shown.values[1].map((value, i) => value - shown.values[0][i]) : null;
    parts.maps.forEach((map, place) => {
      const index = indexAt(place);
      const isChange = difference && place === 1;
      const values = isChange ? change : shown.values[index];
      const range = isChange
        ? {
            low: -(state.scale === "absolute" ? 1 : largest(change)),
            high: state.scale === "absolute" ? 1 : largest(change),
          }
        : shown.spans[index];
      drawMap(map.canvas, values, models()[index].grid, range, table(range), state.opacity, state.drawing, SIDE);
      map.name.textContent = isChange ? "Difference" : models()[index].name;
      map.label.textContent = isChange ? "second model minus first" : labels[index];
      map.figure.className = `map m${index}${isChange ? " change" : ""}${models()[index].counterfactual ? " swapped" : ""}`;
      if (!isChange && models()[index].counterfactual) map.label.textContent += " · operator swapped, not trained";
      const bound = (i) =>
        state.matrix === "rollout"
          ? 0.01 * largest(shown.values[i])
          : finest(models()[i], state.layer, tokenAt(models()[i], state.place), state.head);
      map.bound = isChange ? bound(0) + bound(1) : bound(index);
      map.range = range;
      map.values = values;
      if (map.photo.src !== parts.photos[index]) map.photo.src = parts.photos[index];
      map.stack.style.aspectRatio = `${models()[index].input[1]} / ${models()[index].input[0]}`;
      outline(map.query, models()[index].grid, state.place);
    });
    drawBar();
    drawControls();
    describe();
    drawCharts(models().map((model) => tokenAt(model, state.place)));
    cancelStrips();
    pending = setTimeout(drawStrips, 0);
    clearTimeout(writing);
    writing = setTimeout(write, 200);
    root.dataset.painted = header.id;
  }

  /** Not at every frame: browsers look at the page anew when its address changes. */
  function write() {
    address?.write({ image: null, baseline: null, twicing: null, ...toParameters(state), ...header.link });
  }

  function outline(box, grid, place) {
    box.hidden = !place;
    if (!place) return;
    const { row, column } = patchAt(grid, place);
    Object.assign(box.style, {
      top: `${(100 * row) / grid[0]}%`,
      left: `${(100 * column) / grid[1]}%`,
      height: `${100 / grid[0]}%`,
      width: `${100 / grid[1]}%`,
    });
  }

  function drawBar() {
    const [left, right] = parts.maps.map((map) => map.range);
    const same = left.low === right.low && left.high === right.high;
    const range = same ? left : right;
    const context = parts.bar.getContext("2d");
    const pixels = context.createImageData(256, 1);
    const colours = table(range);
    for (let i = 0; i < 256; i++) pixels.data.set([colours[3 * i], colours[3 * i + 1], colours[3 * i + 2], 255], 4 * i);
    context.putImageData(pixels, 0, 0);
    const [low, middle, high] = parts.ticks.children;
    low.textContent = number(range.low);
    high.textContent = number(range.high);
    const what = state.difference && sameView() ? "difference" : "weight of each patch";
    middle.textContent = `${what} for ${queryName()}${same ? "" : ` (right; left ends at ${number(left.high)})`}`;
  }

  const queryName = () => {
    if (!state.place) return [...new Set(models().map((model) => model.restName))].join(" / ");
    const { row, column } = patchAt(models()[0].grid, state.place);
    return `row ${row + 1}, column ${column + 1}`;
  };

  function drawControls() {
    parts.slider.value = state.layer + 1;
    parts.layer.textContent = state.layer + 1;
    parts.opacity.value = state.opacity;
    parts.groups.forEach((group) => group.lastChild.show());
    parts.play.textContent = playing ? "❚❚" : "▶";
    parts.rest.textContent = `Query: ${queryName()}${state.pinned ? " (pinned)" : ""}`;
    parts.rest.setAttribute("aria-pressed", String(state.pinned));
    root
      .querySelectorAll("[data-key]")
      .forEach((button) => button.setAttribute("aria-pressed", String(Boolean(state[button.dataset.key]))));
  }

  /** The line under the maps: what lies under the cursor, or what is shown. */
  function describe() {
    const place = state.cursor;
    parts.maps.forEach((map, i) => outline(map.cursor, models()[indexAt(i)].grid, place));
    const shown = `Layer ${state.layer + 1}, head ${typeof shownHead() === "number" ? shownHead() + 1 : shownHead()}, ${state.matrix}, query ${queryName()}`;
    if (!place) return void (parts.live.textContent = shown);
    const { row, column } = patchAt(models()[0].grid, place);
    const values = parts.maps.map((map, i) => {
      const index = indexAt(i);
      return `${map.name.textContent} ${reading(map.values[patchAt(models()[index].grid, place).index], map.bound)}`;
    });
    parts.live.textContent = `row ${row + 1}, column ${column + 1}: ${values.join(" · ")} — ${shown[0].toLowerCase()}${shown.slice(1)}`;
  }

  /** The strips follow in slices of a few milliseconds, so that the large maps never wait for them. */
  function drawStrips(layer = 0) {
    const until = performance.now() + 8;
    for (; layer < depth(); layer++) {
      for (const head of stripHeads() ? Array.from({ length: heads() }, (_, h) => h) : [null]) {
        const { values, spans } = compute(layer, head ?? state.head);
        parts.cells.forEach((cells, m) => {
          for (const cell of cells) {
            if (cell.layer !== layer || cell.head !== head) continue;
            drawMap(
              cell.canvas,
              values[m],
              models()[m].grid,
              spans[m],
              table(spans[m]),
              state.opacity,
              state.drawing === "cells" ? "cells" : "smooth",
              42,
            );
            cell.button.classList.toggle("chosen", layer === state.layer && (head === null || head === state.head));
          }
        });
      }
      if (performance.now() > until && layer + 1 < depth())
        return void (pending = setTimeout(() => drawStrips(layer + 1), 0));
    }
    pending = null;
    root.dispatchEvent(new CustomEvent("painted"));
  }

  function cancelStrips() {
    if (pending) clearTimeout(pending);
    pending = null;
  }

  // Pointer and keys

  function listen(stack, index) {
    const placeOf = (event) => {
      const box = stack.getBoundingClientRect();
      const shares = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
      const { grid } = models()[indexAt(index)];
      const { row, column } = patchAt(grid, shares);
      const [rows, columns] = grid;
      return [(row + 0.5) / rows, (column + 0.5) / columns];
    };
    const move = (event) => {
      const place = placeOf(event);
      if (String(place) === String(state.cursor)) return;
      state.cursor = place;
      if (state.pinned) describe();
      else set({ place });
    };
    stack.onpointermove = move;
    stack.onpointerdown = move;
    stack.onpointerleave = () => {
      state.cursor = null;
      if (state.pinned) describe();
      else set({ place: null });
    };
    stack.onclick = (event) => {
      const place = placeOf(event);
      const again = state.pinned && String(place) === String(state.place);
      set({ place, pinned: !again });
      root.focus({ preventScroll: true });
    };
  }

  /** To the class token (or the mean query), and from there to letting the pointer choose again. */
  function toRest() {
    if (state.place || !state.pinned) set({ place: null, pinned: true });
    else set({ pinned: false });
  }

  function step(key, options, by) {
    const at = options.indexOf(state[key]);
    set({ [key]: options[Math.max(0, Math.min(options.length - 1, at + by))] });
  }

  function togglePlay() {
    if (playing) return stop();
    playing = setInterval(() => set({ layer: (state.layer + 1) % depth() }), still.matches ? 1200 : 500);
    repaint();
  }

  function stop() {
    clearInterval(playing);
    playing = 0;
    repaint();
  }

  function movePatch(down, right) {
    const [rows, columns] = models()[0].grid;
    const { row, column } = state.place
      ? patchAt(models()[0].grid, state.place)
      : { row: Math.floor(rows / 2), column: Math.floor(columns / 2) };
    const clamp = (value, count) => Math.max(0, Math.min(count - 1, value));
    const place = [(clamp(row + down, rows) + 0.5) / rows, (clamp(column + right, columns) + 0.5) / columns];
    set({ place, pinned: true });
  }

  function onKey(event) {
    const isTyped = event.altKey && "[]".includes(event.key); // with AltGr, which is Ctrl and Alt, or a Mac's Option
    if (!isTyped && (event.ctrlKey || event.metaKey || event.altKey)) return;
    const inSlider = event.target.matches?.("input[type=range]");
    const arrows = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (arrows && inSlider && !event.shiftKey) return;
    const options = ["mean", "max", ...Array.from({ length: heads() }, (_, h) => h)];
    const actions = {
      Escape: () => (stop(), set({ place: null, pinned: false, cursor: null, blink: 0, difference: false })),
      Enter: () => event.target === root && set({ pinned: !state.pinned }),
      " ": () => event.target.tagName !== "BUTTON" && togglePlay(),
      0: () => set({ blink: 0 }),
      1: () => set({ blink: state.blink === 1 ? 0 : 1 }),
      2: () => set({ blink: state.blink === 2 ? 0 : 2 }),
      d: () => set({ difference: !state.difference }),
      g: () => isAveraged() || set({ allHeads: !state.allHeads }),
      "[": () => step("matrix", MATRICES, -1),
      "]": () => step("matrix", MATRICES, 1),
    };
    let handled = true;
    if (arrows && event.shiftKey) movePatch(...arrows);
    else if (arrows && arrows[1]) set({ layer: Math.max(0, Math.min(depth() - 1, state.layer + arrows[1])) });
    else if (arrows)
      step(
        "head",
        options.filter((h) => !isAveraged() || h === "mean"),
        arrows[0] < 0 ? -1 : 1,
      );
    else if (actions[event.key.length === 1 ? event.key.toLowerCase() : event.key]) {
      handled = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key]() !== false;
    } else handled = false;
    if (handled) {
      event.preventDefault();
      event.stopPropagation();
    }
  }

  async function copyLink(event) {
    const button = event.target;
    write();
    try {
      await navigator.clipboard.writeText(address.link());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Copy it from the address bar";
    }
    setTimeout(() => (button.textContent = "Copy link"), 2000);
  }

  /** Pictures stay in memory until they are let go of. */
  function forget() {
    parts?.photos.forEach((url) => URL.revokeObjectURL(url));
  }

  function destroy() {
    stop();
    cancelStrips();
    cancelAnimationFrame(frame);
    clearTimeout(writing);
    forget();
    header = parts = null;
  }

  return {
    load,
    set,
    destroy,
    get state() {
      return state;
    },
    get header() {
      return header;
    },
  };
}

/** The state in the page's own address, beside what others keep there. */
export const pageAddress = {
  read: () => new URLSearchParams(location.search),
  write(parameters) {
    const url = new URL(location.href);
    for (const [name, value] of Object.entries(parameters)) {
      if (value === null) url.searchParams.delete(name);
      else url.searchParams.set(name, value);
    }
    if (url.href !== location.href) history.replaceState(history.state, "", url);
  },
  link: () => location.href,
};

// --- adapter for Streamlit components v2 -----------------------------------------------------------------------------

/** Other components of the page drive the viewer by the first event and follow it by the second. */
const COMMAND = "explorer-viewer-set";
const STATE = "explorer-viewer-state";
const announce = (state, fresh) => dispatchEvent(new CustomEvent(STATE, { detail: { ...state, fresh } }));

const mounted = new WeakMap();
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".viewer");
  const save = (parameters) => setTriggerValue("saved", parameters);
  if (!mounted.has(root)) {
    const viewer = mount(root, { address: pageAddress, save, announce });
    const obey = (event) => viewer.header && viewer.set(event.detail);
    addEventListener(COMMAND, obey); // once: of the functions returned below, Streamlit calls the last alone
    mounted.set(root, { viewer, obey });
  }
  const { viewer, obey } = mounted.get(root);
  if (data) viewer.load(data instanceof Uint8Array ? data : new Uint8Array(data));
  return () => {
    removeEventListener(COMMAND, obey);
    viewer.destroy();
    mounted.delete(root);
  };
}
