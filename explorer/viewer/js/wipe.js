// @ts-check
// Both models over one photograph, parted by a divider that is dragged or moved by keys.

import { element } from "./dom.js";

/**
 * The two maps side by side, or the second over the first from the divider on.
 * @param {HTMLElement[]} figures
 * @param {string[]} names of the models
 * @param {(share: number) => void} slide
 */
export function createPair(figures, names, slide) {
  const slider = element("input", {
    type: "range",
    min: 0,
    max: 1,
    step: 0.005,
    "aria-label": `Divider: ${names[0]} on its left, ${names[1]} on its right`,
    title: "Drag, or , and .",
    oninput: () => slide(Number(slider.value)),
  });
  const divider = element("div", { class: "divider" }, element("i"), slider);
  const node = element("div", { class: "pair" }, ...figures, divider);
  return {
    node,
    /**
     * @param {number | null} share of the width where the divider is; null side by side
     * @param {string} aspect of the photograph
     */
    show(share, aspect) {
      node.classList.toggle("wiped", share !== null);
      divider.hidden = share === null;
      if (share === null) return;
      slider.value = String(share);
      node.style.setProperty("--divider", String(share));
      node.style.setProperty("--aspect", aspect);
    },
  };
}
