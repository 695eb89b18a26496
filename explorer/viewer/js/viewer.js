// @ts-check
// The attention viewer: two models under one cursor, every layer at once. It holds a payload, a state, the parts of the
// page that show them, and on a server what fetches matrices; it knows nothing of Streamlit.

import { createCharts, predictionOf } from "./charts.js";
import { mapsOf, picturesOf, scaleOf, statusLine, waitingLine } from "./comparison.js";
import { element, isDark } from "./dom.js";
import { KEYS, helpOf, nameOf } from "./keys.js";
import { createMap } from "./maps.js";
import { drawBar, tableOf } from "./paint.js";
import { identity, unpack } from "./payload.js";
import { areThere, createLoader, wantedOf } from "./pieces.js";
import { DIGITS } from "./readings.js";
import { createSentence, sentenceOf } from "./sentence.js";
import {
  DEFAULTS,
  changed,
  clicked,
  depthOf,
  dividerOf,
  fromParameters,
  queryOf,
  settled,
  toParameters,
  towardsRest,
  wiped,
} from "./state.js";
import { createStrips } from "./strips.js";
import { createTools } from "./tools.js";
import { createPair } from "./wipe.js";

/** @import { Header, Options, Picture, Piece, Place, State } from "./types.js" */

/** Parameters of an address that some views do without. */
const ABSENT = { image: null, crop: null, baseline: null, twicing: null, input_size: null, wipe: null, blink: null };

/** @type {Partial<State>} what was shown last, for the next viewer of this page */
let remembered = {};

/**
 * Builds the viewer inside `root`. `address` reads and writes where the state can be shared, `save` takes it,
 * `announce` is told the state whenever it changes, and that it is fresh when new data came.
 * @param {HTMLElement} root
 * @param {Options} options
 */
export function mount(root, { address = null, save = null, announce = null } = {}) {
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const phone = matchMedia("(max-width: 640px)");
  const sized = () => header && set({ narrow: phone.matches });
  phone.addEventListener("change", sized);
  root.addEventListener("focusout", ({ relatedTarget }) => {
    if (!(relatedTarget instanceof Node && root.contains(relatedTarget))) original(false);
  });
  let state = { ...DEFAULTS };
  /** @type {Header | null} */
  let header = null;
  /** @type {ReturnType<typeof build> | null} */
  let parts = null;
  /** @type {ReturnType<typeof createLoader> | null} what fetches matrices from a server */
  let loader = null;
  /** @type {string | null} where it asks */
  let pieceAddress = null;
  /** @type {string | null} why what is missing does not come */
  let problem = null;
  /** @type {Picture[]} as drawn */
  let pictures = [];
  let frame = 0;
  let onlyMoved = true;
  let playing = 0;
  let writing = 0;

  /**
   * @param {Uint8Array} bytes
   * @param {string | null} pieces the address under which the server has what the bytes lack
   */
  function load(bytes, pieces = null) {
    if (header && header.id === identity(bytes)) {
      if (pieces !== pieceAddress) fetchFrom(pieces, header);
      return repaint();
    }
    header = unpack(bytes);
    fetchFrom(pieces, header);
    if (header.state) {
      const stored = fromParameters(new URLSearchParams(header.state));
      state = changed({ ...state, place: null, token: null, pinned: false, blink: 0 }, stored);
    } else if (!parts && address) state = changed({ ...state, ...remembered }, fromParameters(address.read()));
    if (state.layer === Infinity && header.layer !== null) state.layer = header.layer;
    state = { ...settled(state, header.models), narrow: phone.matches };
    parts?.forget();
    parts = build(header);
    repaint();
    announce?.(state, true);
  }

  /** @param {Partial<State>} change */
  function set(change) {
    state = changed(state, change);
    repaint(Object.keys(change).every((key) => key === "wipe" || key === "narrow"));
    announce?.(state, false);
  }

  /** @param {boolean} isMoved whether what is drawn only stands elsewhere */
  function repaint(isMoved = false) {
    onlyMoved &&= isMoved;
    if (!frame) frame = requestAnimationFrame(draw);
  }

  /** @param {Header} payload */
  function build({ models, colours, link }) {
    const photos = models.map((model) => URL.createObjectURL(new Blob([model.photo])));
    const pointer = { over, out, click };
    const maps = models.map(() => createMap(colours, photos, pointer, () => repaint()));
    const names = models.map(({ name }) => name);
    const pair = createPair(maps.map((map) => map.figure), names, (wipe) => set({ wipe }));
    const tools = createTools(models, {
      set,
      toggle: (key) => set({ [key]: !state[key] }),
      togglePlay,
      toggleWipe: () => set(wiped(state, models)),
      original,
      toRest: () => set(towardsRest(state)),
      copyLink: link && copyLink,
      save: save && (() => save(toParameters(state))),
    });
    const help = helpOf(models);
    const bar = element("canvas", { class: "bar", width: 256, height: 1, "aria-hidden": "true" });
    const ticks = [element("span"), element("span"), element("span")];
    const live = element("p", { class: "live", role: "status", "aria-live": "polite", title: DIGITS });
    const sentence = createSentence();
    const strips = createStrips(models, colours, photos, set);
    const charts = createCharts(models, (layer) => layer !== state.layer && set({ layer }));
    root.replaceChildren(
      element("div", { class: "controls" }, ...tools.lines),
      pair.node,
      element("div", { class: "scale" }, bar, element("div", { class: "ticks" }, ...ticks)),
      sentence.node,
      live,
      ...strips.boxes,
      element("div", { class: "charts" }, ...charts.figures),
      element("div", { class: "predictions" }, ...models.map(predictionOf)),
      element("p", { class: "quiet keys" }, help),
    );
    root.tabIndex = 0;
    root.setAttribute("role", "application");
    root.setAttribute("aria-label", `Attention of both models. ${help}`);
    root.onkeydown = onKey;
    root.onkeyup = ({ key }) => key.toLowerCase() === "o" && original(false);
    const forget = () => {
      strips.stop();
      maps.forEach((map) => map.forget());
      photos.forEach((url) => URL.revokeObjectURL(url)); // or they would stay in memory
    };
    return { maps, pair, sentence, tools, bar, ticks, live, strips, charts, forget };
  }

  function draw() {
    frame = 0;
    const moved = onlyMoved;
    onlyMoved = true;
    if (!header || !parts) return;
    const { models, colours, id } = header;
    remembered = { ...state };
    const [height, width] = models[0].input;
    parts.pair.show(dividerOf(state, models), `${width} / ${height}`);
    parts.tools.show(state, playing !== 0);
    clearTimeout(writing);
    writing = setTimeout(write, 200); // not at every frame: browsers look at the page anew when its address changes
    if (moved) return;
    const palette = header.palettes[isDark(root) ? "dark" : "light"];
    root.style.setProperty("--one", palette[0]);
    root.style.setProperty("--two", palette[1]);
    root.style.setProperty("--veil", String(state.opacity));
    const isWaiting = !areThere(state, models, state.layer);
    root.classList.toggle("waiting", isWaiting); // what was drawn stays until the layer has come
    if (!isWaiting) drawMaps(parts, models, colours);
    describe();
    parts.charts.draw(state);
    parts.strips.draw(state);
    root.dataset.painted = id;
    root.dataset.missing = String(loader?.want(state) ?? 0);
  }

  /**
   * @param {ReturnType<typeof build>} parts
   * @param {Header["models"]} models
   * @param {Header["colours"]} colours
   */
  function drawMaps({ maps, bar, ticks, sentence }, models, colours) {
    const drawn = mapsOf(state, models, state.layer);
    pictures = picturesOf(state, models, drawn);
    maps.forEach((map, place) => map.draw(pictures[place], state));
    sentence.show(sentenceOf(state, models, drawn.values));
    const { range, low, text, high } = scaleOf(state, models, pictures);
    drawBar(bar, range, { table: tableOf(colours, state.colours, range), opacity: state.opacity });
    const [left, middle, right] = ticks;
    left.textContent = low;
    middle.textContent = text;
    right.textContent = high;
  }

  /**
   * @param {string | null} address
   * @param {Header} payload
   */
  function fetchFrom(address, { models }) {
    loader?.stop();
    problem = null;
    pieceAddress = address;
    loader = address === null ? null : createLoader(models, address, arrived, fail);
  }

  /** @param {Piece} piece */
  function arrived({ kind, at }) {
    if (!header) return;
    const { models } = header;
    root.dataset.missing = String(wantedOf(state, models).wanted.length);
    const isKnown = models.every((model) => model.rows.has(queryOf(state, model)));
    const isInView = kind === "layer" && at === state.layer; // whose columns the sentence speaks of
    if (kind === "rows" || !isKnown || isInView) repaint(); // else nothing that is drawn was made of it
  }

  /** @param {string | null} sentence */
  function fail(sentence) {
    problem = sentence;
    describe();
  }

  function write() {
    if (header) address?.write({ ...ABSENT, ...toParameters(state), ...header.link });
  }

  /** The line under the maps, and the patch under the pointer. */
  function describe() {
    if (!header || !parts) return;
    parts.maps.forEach((map) => map.mark(state.cursor));
    const { models } = header;
    parts.live.textContent = areThere(state, models, state.layer)
      ? statusLine(state, models, pictures)
      : problem ?? waitingLine(state, models, loader !== null);
  }

  // Pointer and keys

  /** @type {(place: Place) => void} */
  function over(place) {
    if (String(place) !== String(state.cursor)) point({ cursor: place, place });
  }

  const out = () => point({ cursor: null, place: null });

  /** A pinned query stays where it is: then the pointer only reads. */
  const point = (/** @type {{ cursor: Place | null, place: Place | null }} */ { cursor, place }) => {
    state = { ...state, cursor };
    if (state.pinned) describe();
    else set({ place });
  };

  /** @type {(place: Place) => void} */
  function click(place) {
    set(clicked(state, place));
    root.focus({ preventScroll: true });
  }

  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const name = nameOf(event);
    if (!header || name === null || !(name === " " || name === "o" || name in KEYS)) return;
    event.preventDefault();
    event.stopPropagation();
    if (name === " ") return togglePlay();
    if (name === "o") return original(true);
    if (name === "Escape") stop();
    const change = KEYS[name](state, header.models);
    if (change) set(change);
  }

  /**
   * The photographs alone, as long as a key or a button is held: a matter of style, nothing is drawn.
   * @param {boolean} is
   */
  function original(is) {
    root.classList.toggle("original", is);
  }

  function togglePlay() {
    if (playing) return stop();
    const next = () => header && set({ layer: (state.layer + 1) % depthOf(header.models) });
    playing = setInterval(next, still.matches ? 1200 : 500);
    repaint();
  }

  function stop() {
    clearInterval(playing);
    playing = 0;
    repaint();
  }

  /** @param {HTMLButtonElement} pressed */
  async function copyLink(pressed) {
    write();
    try {
      await navigator.clipboard.writeText(address?.link() ?? "");
      pressed.textContent = "Copied";
    } catch {
      pressed.textContent = "Copy it from the address bar";
    }
    setTimeout(() => (pressed.textContent = "Copy link"), 2000);
  }

  function destroy() {
    stop();
    cancelAnimationFrame(frame);
    clearTimeout(writing);
    loader?.stop();
    phone.removeEventListener("change", sized);
    parts?.forget();
    header = parts = loader = null;
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
