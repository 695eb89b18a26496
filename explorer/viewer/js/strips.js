// @ts-check
// The small maps of every layer, and of every head: drawn in slices, so that the large maps never wait for them.

import { mapsOf } from "./comparison.js";
import { button, element } from "./dom.js";
import { drawMap, tableOf } from "./paint.js";
import { areThere } from "./pieces.js";
import { depthOf, stripHeads } from "./state.js";

/** @import { Header, Model, State } from "./types.js" */

const CELL_SIDE = 42;
const SLICE = 8; // milliseconds

/**
 * A strip for each model, what draws a state into them, and what ends the drawing.
 * @param {Model[]} models
 * @param {Header["colours"]} colours
 * @param {string[]} photos addresses, by model
 * @param {(change: Partial<State>) => void} set
 */
export function createStrips(models, colours, photos, set) {
  const depth = depthOf(models);
  const boxes = models.map((_, index) => element("div", { class: `strip m${index}` }));
  /** @type {(number | null)[]} with a line each */
  let heads = [];
  /** @type {ReturnType<typeof createCell>[][][]} by model, head and layer */
  let cells = [];
  let pending = 0;

  function build() {
    cells = models.map((_, index) =>
      heads.map((head) =>
        Array.from({ length: depth }, (_, layer) =>
          createCell(layer, head, captionOf(layer, head), photos[index], set),
        ),
      ),
    );
    models.forEach(({ name }, index) => {
      const title = element("strong", {}, `${name}, all layers${heads[0] === null ? "" : " and heads"}`);
      const lines = cells[index].map((line) => element("div", { class: "cells" }, ...line.map((cell) => cell.box)));
      boxes[index].replaceChildren(title, ...lines);
    });
  }

  /**
   * Its layer; of many heads, the head once a line and the layer under the last line.
   * @param {number} layer
   * @param {number | null} head
   */
  function captionOf(layer, head) {
    if (head === null || (head === heads.length - 1 && layer > 0)) return String(layer + 1);
    return layer === 0 ? `head ${head + 1}` : "";
  }

  /** @param {State} state */
  function draw(state) {
    stop();
    const asked = stripHeads(state, models);
    if (heads.length !== asked.length || heads[0] !== asked[0]) {
      heads = asked;
      build();
    }
    pending = setTimeout(drawFrom, 0, state, 0);
  }

  /**
   * @param {State} state
   * @param {number} layer
   */
  function drawFrom(state, layer) {
    const until = performance.now() + SLICE;
    for (; layer < depth; layer++) {
      heads.forEach((head, line) => drawCells(state, layer, head, line));
      if (performance.now() > until && layer + 1 < depth) {
        pending = setTimeout(drawFrom, 0, state, layer + 1);
        return;
      }
    }
  }

  /**
   * @param {State} state
   * @param {number} layer
   * @param {number | null} head
   * @param {number} line
   */
  function drawCells(state, layer, head, line) {
    const isMissing = !areThere(state, models, layer);
    for (const ofModel of cells) {
      const { classList } = ofModel[line][layer].box;
      classList.toggle("chosen", layer === state.layer && (head === null || head === state.head));
      classList.toggle("missing", isMissing);
    }
    if (isMissing) return;
    const { values, spans } = mapsOf(state, models, layer, head ?? state.head);
    const drawing = state.drawing === "cells" ? "cells" : "smooth";
    models.forEach(({ grid }, index) => {
      const { canvas } = cells[index][line][layer];
      const table = tableOf(colours, state.colours, spans[index]);
      drawMap(canvas, values[index], grid, spans[index], { table, opacity: state.opacity, drawing, side: CELL_SIDE });
      canvas.classList.toggle("sharp", drawing === "cells");
    });
  }

  function stop() {
    clearTimeout(pending);
  }

  return { boxes, draw, stop };
}

/**
 * @param {number} layer
 * @param {number | null} head
 * @param {string} caption
 * @param {string} photo
 * @param {(change: Partial<State>) => void} set
 */
function createCell(layer, head, caption, photo, set) {
  const canvas = element("canvas", { width: 1, height: 1 });
  const box = button(
    {
      class: "cell",
      tabindex: -1,
      onclick: () => set(head === null ? { layer } : { layer, head }),
      title: head === null ? `layer ${layer + 1}` : `layer ${layer + 1}, head ${head + 1}`,
    },
    element("img", { alt: "", src: photo, draggable: "false" }),
    canvas,
    element("span", {}, caption),
  );
  return { box, canvas };
}
