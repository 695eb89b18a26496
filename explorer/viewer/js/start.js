// @ts-check
// The start page: what twicing does in five pictures, and where two models look. All that it shows was sent at once.

import { createCurtain } from "./curtain.js";
import { button, element, isDark } from "./dom.js";
import { createPictures } from "./pictures.js";
import { floatsOf, headerOf, identityOf } from "./sections.js";

/** @import { ColourRange } from "./types.js" */
/** @import { StartModel, StartPayload, StartState } from "./start-types.js" */

const LETTERS = "TWS1";
const PAPER = "https://arxiv.org/abs/2503.00687";
const LAST_STEP = 4;
const WAYS = ".st-key-start-ways a";
const UPLOADER = "[data-testid=stFileUploader] input[type=file]";
/** @type {Partial<StartState>} what was shown last, for when the page is opened again */
let remembered = { step: LAST_STEP, divider: 0.5 };
let isFirst = true;

/**
 * @param {Uint8Array} bytes
 * @returns {StartPayload}
 */
export function unpackStart(bytes) {
  const { text, base } = headerOf(bytes, LETTERS);
  const header = JSON.parse(text);
  /** @typedef {{ at: number, size: number }} Section */
  const part = (/** @type {Section} */ { at, size }) => bytes.subarray(base + at, base + at + size);
  const rows = (/** @type {Section} */ section, /** @type {number} */ count) => {
    const values = floatsOf(bytes, base, section);
    const length = values.length / count;
    return Array.from({ length: count }, (_, i) => values.subarray(i * length, (i + 1) * length));
  };
  header.steps = part(header.steps);
  for (const model of header.models) {
    model.maps = rows(model.maps, header.layers);
    model.photo = part(model.picture);
  }
  for (const parting of header.partings)
    parting.maps = parting.maps.map((/** @type {Section} */ section) => rows(section, 1)[0]);
  for (const name of Object.keys(header.colours))
    header.colours[name] = Uint8Array.from(atob(header.colours[name]), (c) => c.charCodeAt(0));
  return header;
}

/**
 * Both maps of a state on one scale.
 * @param {Pick<StartPayload, "models" | "partings">} payload
 * @param {Pick<StartState, "layer" | "parting">} state
 * @returns {{ values: Float32Array, range: ColourRange }[]}
 */
export function mapsOfState({ models, partings }, { layer, parting }) {
  const values = parting < 0 ? models.map(({ maps }) => maps[layer]) : partings[parting].maps;
  const high = values.flatMap((map) => [...map]).reduce((most, value) => Math.max(most, Math.abs(value)), 1e-12);
  const isSigned = models.map(({ signed }) => parting < 0 && signed[layer]);
  return values.map((map, i) => ({ values: map, range: { low: isSigned[i] ? -high : 0, high } }));
}

/**
 * Builds the page inside `root`.
 * @param {HTMLElement} root
 */
export function mountStart(root) {
  /** @type {StartPayload | null} */
  let payload = null;
  /** @type {StartState} */
  let state = { layer: 0, step: LAST_STEP, divider: 0.5, parting: -1, ...remembered };
  /** @type {string[]} */
  let photos = [];
  let drawn = "";
  let frame = 0;

  const pictures = createPictures((step) => set({ step }));
  const curtain = createCurtain((divider) => set({ divider }));
  const layerName = element("output");
  const layer = element("input", { type: "range", min: 1, step: 1, "aria-label": "Layer" });
  const where = element("span", { class: "quiet" });
  const query = element("span", { class: "quiet" });
  const said = element("p", { class: "said", "aria-live": "polite" });
  const looks = element("p", { class: "looks", "aria-live": "polite" });
  const answers = element("p", { class: "answers" });
  const file = element("input", { type: "file", multiple: "", accept: "image/*,.heic,.avif,.zip", hidden: "" });
  const yourWords = element("span", { class: "quiet" });
  const surpriseWords = element("span", { class: "quiet" });
  const own = button({ class: "action first", onclick: () => file.click() }, element("b", {}, "Your photo"), yourWords);
  const surprise = button({ class: "action", onclick: toNextParting }, element("b", {}, "Surprise me"), surpriseWords);
  const tour = element(
    "a",
    { class: "action", href: "tour", onclick: follow },
    element("b", {}, "Two-minute tour"),
    element("span", { class: "quiet" }, "ten cards through the viewer"),
  );
  const viewer = element("a", { class: "more", onclick: follow }, "Open in the viewer");
  const heading = element(
    "header",
    {},
    element("h1", {}, "Attention smooths. Twicing gives some of it back."),
    element(
      "p",
      {},
      "Twicing attention adds the smoothed residual ",
      element("i", {}, "A(V − AV)"),
      " to what attention puts out, so that patches stay apart. ",
      element("a", { href: PAPER, target: "_blank", rel: "noopener noreferrer" }, "The paper"),
    ),
  );
  const operator = element(
    "figure",
    { class: "operator" },
    element("figcaption", {}, element("strong", {}, "What the operator does"), where),
    pictures.stage,
    pictures.line,
  );
  const models = element(
    "figure",
    { class: "models" },
    element("figcaption", {}, element("strong", {}, "Where each model looks"), query),
    curtain.stage,
    element("div", { class: "line" }, element("span", {}, "Layer"), layer, layerName),
  );
  const scale = element("span", { class: "quiet" }, "One basis and one scale for all five pictures.");
  const argument = element("section", { class: "argument" }, pictures.strip, said);
  const actions = element("nav", { "aria-label": "Go on" }, own, surprise, tour);
  const aside = element("aside", {}, actions, element("div", { class: "notes" }, looks, answers, viewer), file);
  root.replaceChildren(element("div", { class: "page" }, heading, operator, argument, models, aside));
  layer.oninput = () => set({ layer: Number(layer.value) - 1, parting: -1 });
  root.onkeydown = (event) => {
    if (event.key === "Escape" && state.parting >= 0) set({ parting: -1 });
  };
  root.addEventListener("pointerdown", rest);
  root.addEventListener("keydown", rest);
  file.onchange = () => {
    hand([...(file.files ?? [])], yourWords);
    file.value = "";
  };

  /** Whoever touches anything is followed at once. */
  function rest() {
    pictures.rest();
    curtain.rest();
  }

  /** @param {Uint8Array} bytes */
  function load(bytes) {
    if (payload?.id === identityOf(bytes, LETTERS)) return repaint();
    const isNew = payload !== null;
    payload = unpackStart(bytes);
    photos.forEach((url) => URL.revokeObjectURL(url)); // or they would stay in memory
    photos = payload.models.map((model) => URL.createObjectURL(new Blob([model.photo])));
    const last = payload.layers - 1;
    const kept = isNew ? state.layer : (remembered.layer ?? payload.layer);
    state = { ...state, layer: Math.min(kept, last), parting: -1 };
    drawn = "";
    draw();
    if (isFirst) pictures.run();
    isFirst = false;
  }

  /** @param {Partial<StartState>} change */
  function set(change) {
    state = { ...state, ...change };
    repaint();
  }

  function repaint() {
    if (!frame) frame = requestAnimationFrame(draw);
  }

  function draw() {
    cancelAnimationFrame(frame);
    frame = 0;
    if (!payload) return;
    const { layer: now, step, divider, parting } = state;
    remembered = { layer: now, step, divider };
    const palette = payload.palettes[isDark(root) ? "dark" : "light"];
    ["--one", "--two"].forEach((name, i) => {
      root.style.setProperty(name, palette[i]);
      root.style.setProperty(`${name}-ink`, inkOn(palette[i]));
    });
    const key = `${payload.id} ${now} ${parting}`;
    if (key !== drawn) paintLayer(payload);
    drawn = key;
    pictures.show(step);
    curtain.show(divider);
    root.dataset.painted = payload.id;
  }

  /** @param {StartPayload} sent */
  function paintLayer({ id, models, layers, steps, share, alike, said: words, looks: sentences, partings, colours }) {
    const { layer: now, parting } = state;
    const place = parting < 0 ? null : partings[parting];
    if (!drawn.startsWith(`${id} ${now} `)) {
      const size = steps.length / layers;
      const numbers = alike.map((curve) => curve[now]);
      pictures.paint(steps.subarray(now * size, (now + 1) * size), models[0].grid, numbers);
    }
    const maps = mapsOfState({ models, partings }, state);
    const sides = models.map(({ name, grid }, i) => ({ name, grid, photo: photos[i], ...maps[i] }));
    curtain.paint(sides, colours, place);
    const [height, width] = models[0].input;
    root.style.setProperty("--aspect", `${width} / ${height}`);
    layer.max = String(layers);
    layer.value = String(now + 1);
    layerName.textContent = `${now + 1} / ${layers}`;
    where.textContent = `layer ${now + 1} of ${models[0].name}`;
    where.title =
      "Heads joined; the first three principal components of V over the patches as red, green and blue, " +
      `${Math.round(100 * share[now])}% of its variance. One basis and one scale for all five: grey is the mean of V, ` +
      "in the two differences 0.";
    query.textContent = place ? `one patch, head ${place.head + 1}` : `from ${rests(models)}, layer ${now + 1}`;
    said.replaceChildren(`${words[now]} `, scale);
    looks.textContent = place ? place.said : sentences[now];
    answers.replaceChildren(...answersOf(models));
    surprise.disabled = !partings.length;
    surpriseWords.textContent = !partings.length
      ? "needs two models with the same patches"
      : parting < 0
        ? "where the two models differ most"
        : `the next place: ${parting + 1} of ${partings.length}`;
    surprise.title =
      "The layer, head and patch whose two rows of A lie farthest apart: how far, in patches down and across, attention " +
      "is to be carried at least (earth mover's distances of the sums by row and by column), times the smaller of the " +
      "shares that patches get. At most one of each head.";
    if (!yourWords.textContent) yourWords.textContent = "drop, paste or choose";
    viewer.setAttribute("href", address(place));
  }

  /** @param {StartPayload["partings"][number] | null} place */
  function address(place) {
    const parameters = new URLSearchParams({ ...payload?.link, layer: String(state.layer + 1) });
    if (place && payload) {
      const [rows, columns] = payload.models[0].grid;
      parameters.set("head", String(place.head + 1));
      parameters.set("query", [(place.row + 0.5) / rows, (place.column + 0.5) / columns].map((at) => at.toFixed(4)).join());
      parameters.set("matrix", "a");
    }
    return `attention?${parameters}`;
  }

  function toNextParting() {
    if (!payload?.partings.length) return;
    const parting = (state.parting + 1) % payload.partings.length;
    set({ parting, layer: payload.partings[parting].layer });
    models.scrollIntoView({ block: "nearest", behavior: "smooth" }); // on a phone it is further down
    curtain.sweep();
  }

  function destroy() {
    rest();
    cancelAnimationFrame(frame);
    photos.forEach((url) => URL.revokeObjectURL(url));
    payload = null;
  }

  return {
    load,
    set,
    destroy,
    get state() {
      return state;
    },
    get payload() {
      return payload;
    },
  };
}

/**
 * What is legible on a colour: of dark and white, what has the greater contrast (WCAG 2.2).
 * @param {string} colour as #rrggbb
 */
function inkOn(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const share = parseInt(colour.slice(at, at + 2), 16) / 255;
    return share > 0.04045 ? ((share + 0.055) / 1.055) ** 2.4 : share / 12.92;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.19 ? "#0f1117" : "#fff";
}

/** @param {StartModel[]} models */
const rests = (models) => [...new Set(models.map(({ rest }) => rest))].join(" / ");

/** @param {StartModel[]} models */
function answersOf(models) {
  return models.flatMap(({ name, answer }, i) =>
    answer ? [element("b", { class: `m${i}` }, name), ` says ${answer}. `] : [],
  );
}

/**
 * To another page within the session, which has the images, by the page's own link to it as soon as that is there.
 * @param {MouseEvent} event
 */
function follow(event) {
  const link = /** @type {HTMLAnchorElement} */ (event.currentTarget);
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  const { pathname, search } = new URL(link.href);
  const known = [...document.querySelectorAll(WAYS)].find(
    (other) => other instanceof HTMLAnchorElement && new URL(other.href).pathname === pathname,
  );
  if (!(known instanceof HTMLElement)) return;
  event.preventDefault();
  known.click();
  const say = () => {
    if (location.pathname !== pathname) return void setTimeout(say, 10);
    history.replaceState(history.state, "", `${pathname}${search}${location.hash}`);
  };
  if (search) say(); // before the other page reads its address
}

/**
 * Gives files to the page's own uploader, as soon as it is there.
 * @param {File[]} files
 * @param {HTMLElement} words
 */
function hand(files, words) {
  if (!files.length) return;
  const input = document.querySelector(UPLOADER);
  if (!(input instanceof HTMLInputElement)) {
    words.textContent = "taken as soon as the models are loaded …";
    setTimeout(() => hand(files, words), 100);
    return;
  }
  const carrier = new DataTransfer();
  files.forEach((each) => carrier.items.add(each));
  input.files = carrier.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
  words.textContent = "";
}

/** @type {WeakMap<HTMLElement, ReturnType<typeof mountStart>>} */
const pages = new WeakMap();

/** @param {{ data: Uint8Array | ArrayBuffer | null, parentElement: HTMLElement }} component */
export default function ({ data, parentElement }) {
  const root = /** @type {HTMLElement} */ (parentElement.querySelector(".start"));
  const page = pages.get(root) ?? mountStart(root);
  pages.set(root, page);
  if (data) page.load(data instanceof Uint8Array ? data : new Uint8Array(data));
  return () => {
    page.destroy();
    pages.delete(root);
  };
}
