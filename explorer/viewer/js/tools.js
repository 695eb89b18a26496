// @ts-check
// The controls above the maps.

import { matricesOf } from "./arithmetic.js";
import { MEANINGS, queryName } from "./comparison.js";
import { button, element } from "./dom.js";
import { COLOUR_MAPS, DRAWINGS, SCALES, depthOf, dividerOf, headChoices, tokenChoices } from "./state.js";

/** @import { Actions, Model, State } from "./types.js" */

/** @typedef {{ node: HTMLElement, show(state: State): void }} Control */

/**
 * Two lines of controls, and what shows a state in them.
 * @param {Model[]} models
 * @param {Actions} actions
 */
export function createTools(models, actions) {
  const { set, copyLink, save } = actions;
  const layer = layerControl(models, actions);
  const first = [layer, ...choices(models).map((each) => choice(set, ...each)), opacityControl(set)];
  const second = [
    restControl(models, actions),
    ...tokenControls(models, set),
    blinkControl(models, set),
    wipeControl(models, actions),
    originalControl(actions),
    toggle(actions, "Difference", "difference", "D: second model minus first, on the right"),
    toggle(actions, "All heads", "allHeads", "G: layers by heads below"),
  ];
  const lines = [first, second].map((controls) =>
    element("div", { class: "tools" }, ...controls.map(({ node }) => node)),
  );
  if (copyLink) {
    const copy = button({ class: "toggle", onclick: () => copyLink(copy) }, "Copy link");
    lines[1].append(copy);
  } else if (save) lines[1].append(button({ class: "toggle", onclick: save }, "Save the view"));
  return {
    lines,
    /**
     * @param {State} state
     * @param {boolean} isPlaying
     */
    show(state, isPlaying) {
      [...first, ...second].forEach((control) => control.show(state));
      layer.play.textContent = isPlaying ? "❚❚" : "▶";
    },
  };
}

/** @typedef {"head" | "matrix" | "scale" | "colours" | "drawing"} Choice */

/**
 * Label, options, what of the state it is, and help.
 * @param {Model[]} models
 * @returns {[string, readonly (string | number)[], Choice, string][]}
 */
const choices = (models) => [
  [
    "Head",
    headChoices(models),
    "head",
    "max: patch by patch, the head of largest magnitude",
  ],
  [
    "Matrix",
    matricesOf(models),
    "matrix",
    "effective: what a block applies to its own V, A in a standard block, 2A − A² in a twicing one",
  ],
  ["Scale", SCALES, "scale", "map: each map's own largest value; shared: the largest of both; absolute: 1"],
  ["Colours", COLOUR_MAPS, "colours", "Of signed values the positive half; negative ones are blue, and 0 is the photograph"],
  [
    "Draw",
    DRAWINGS,
    "drawing",
    "smooth: a curve through the patches' values; cells: one flat cell a patch; contours: lines at eighths",
  ],
];

/**
 * One of several options; heads are counted from 1.
 * @param {Actions["set"]} set
 * @param {string} label
 * @param {readonly (string | number)[]} options
 * @param {Choice} key
 * @param {string} help
 * @returns {Control}
 */
function choice(set, label, options, key, help) {
  const buttons = options.map((option) =>
    button(
      { onclick: () => set({ [key]: option }), "data-value": option, title: MEANINGS[option] ?? help },
      typeof option === "number" ? String(option + 1) : option,
    ),
  );
  return {
    node: groupOf(label, help, buttons),
    show(state) {
      buttons.forEach((each, i) => each.setAttribute("aria-pressed", String(options[i] === state[key])));
    },
  };
}

/**
 * @param {string} label
 * @param {string} help
 * @param {HTMLButtonElement[]} buttons
 */
function groupOf(label, help, buttons) {
  const group = element("div", { class: "choice", role: "group", "aria-label": label, title: help }, ...buttons);
  return element("div", { class: "control" }, element("span", {}, label), group);
}

/**
 * @param {Actions} actions
 * @param {string} text
 * @param {"difference" | "allHeads"} key
 * @param {string} title
 * @returns {Control}
 */
function toggle(actions, text, key, title) {
  const node = button({ class: "toggle", "data-key": key, title, onclick: () => actions.toggle(key) }, text);
  return {
    node,
    show(state) {
      node.setAttribute("aria-pressed", String(state[key]));
    },
  };
}

/**
 * One model in both places: for a finger what 1, 2 and 0 are on a keyboard.
 * @param {Model[]} models
 * @param {Actions["set"]} set
 * @returns {Control}
 */
function blinkControl(models, set) {
  const titles = ["0: one model in each place", ...models.map(({ name }, i) => `${i + 1}: ${name} in both places`)];
  const buttons = ["both", "first", "second"].map((text, blink) =>
    button({ onclick: () => set({ blink }), title: titles[blink] }, text),
  );
  const show = (/** @type {State} */ { blink }) =>
    buttons.forEach((each, i) => each.setAttribute("aria-pressed", String(i === blink)));
  return { node: groupOf("Models", "Press first and second in turn to blink", buttons), show };
}

/**
 * @param {Model[]} models
 * @param {Actions} actions
 * @returns {Control}
 */
function wipeControl(models, { toggleWipe }) {
  const title = "W: both models on one photograph, with a divider to drag";
  const node = button({ class: "toggle", "data-key": "wipe", title, onclick: toggleWipe }, "Wipe");
  node.hidden = models[0].crop !== models[1].crop;
  return {
    node,
    show(state) {
      node.setAttribute("aria-pressed", String(dividerOf(state, models) !== null));
    },
  };
}

/**
 * Shows the photograph alone as long as it is held, by a pointer or a key.
 * @param {Actions} actions
 * @returns {Control}
 */
function originalControl({ original }) {
  const hold = () => original(true);
  const release = () => original(false);
  const byKey = (/** @type {KeyboardEvent} */ { key, type }) => {
    if (key === " " || key === "Enter") original(type === "keydown");
  };
  const node = button(
    {
      class: "toggle hold",
      title: "O, or press and hold: the photograph without a map",
      onpointerdown: hold,
      onpointerup: release,
      onpointercancel: release,
      onpointerleave: release,
      onblur: release,
      onkeydown: byKey,
      onkeyup: byKey,
      oncontextmenu: (/** @type {Event} */ event) => event.preventDefault(),
    },
    "Original",
  );
  return { node, show() {} };
}

/**
 * @param {Model[]} models
 * @param {Actions} actions
 * @returns {Control & { play: HTMLButtonElement }}
 */
function layerControl(models, { set, togglePlay }) {
  const slider = element("input", {
    type: "range",
    min: 1,
    max: depthOf(models),
    "aria-label": "Layer",
    oninput: () => set({ layer: Number(slider.value) - 1 }),
  });
  const output = element("output");
  const title = "Play through the layers (Space)";
  const play = button({ class: "plain", onclick: togglePlay, title }, "▶");
  return {
    play,
    node: element(
      "label",
      { class: "control layer" },
      element("span", {}, "Layer ", output),
      element("div", { class: "line" }, slider, play),
    ),
    show({ layer }) {
      slider.value = output.textContent = String(layer + 1);
    },
  };
}

/**
 * @param {Actions["set"]} set
 * @returns {Control}
 */
function opacityControl(set) {
  const slider = element("input", {
    type: "range",
    min: 0,
    max: 1,
    step: 0.05,
    "aria-label": "Opacity",
    oninput: () => set({ opacity: Number(slider.value) }),
  });
  return {
    node: element("label", { class: "control opacity" }, element("span", {}, "Opacity"), slider),
    show({ opacity }) {
      slider.value = String(opacity);
    },
  };
}

/**
 * Names the query, and takes it to rest.
 * @param {Model[]} models
 * @param {Actions} actions
 * @returns {Control}
 */
function restControl(models, { toRest }) {
  const title = `Whose row is drawn. Pressed: the pointer reads values instead of choosing a patch (Esc). CLS is ${MEANINGS.CLS}`;
  const node = button({ class: "toggle rest", onclick: toRest, title });
  return {
    node,
    show(state) {
      node.textContent = `Query: ${queryName(state, models)}${state.pinned ? " (pinned)" : ""}`;
      node.setAttribute("aria-pressed", String(state.pinned));
    },
  };
}

/**
 * Prefix tokens as the query, where there are others than the query at rest.
 * @param {Model[]} models
 * @param {Actions["set"]} set
 * @returns {Control[]}
 */
function tokenControls(models, set) {
  const tokens = tokenChoices(models);
  if (tokens.length === 1) return [];
  const rest = queryName({ place: null, token: null }, models);
  const buttons = tokens.map((token) =>
    button({ onclick: () => set({ place: null, token, pinned: true }), title: MEANINGS[token ?? rest] ?? "" }, token ?? rest),
  );
  const show = (/** @type {State} */ { place, token }) =>
    buttons.forEach((each, i) => each.setAttribute("aria-pressed", String(!place && tokens[i] === token)));
  return [{ node: groupOf("Token", "T: what is no patch as the query", buttons), show }];
}
