// @ts-check
// A chart of a lesson as SVG: lines, points, rings and areas, numbers under the pointer, and the same in words.

import { amountAt, nameAt } from "./amounts.js";
import { reading, scaleFrom, tickText, ticksOf } from "./axes.js";
import { element, svg } from "./dom.js";

/** @import { Chart, Series, Stands } from "./lesson-types.js" */
/** @import { Scale } from "./axes.js" */

/** @typedef {{ series: Series, name: string, xs: Float64Array, ys: Float64Array }} Curve as it stands */

/** @type {Record<string, string>} */
const DASHES = { solid: "none", dash: "7 4", dot: "2 3", dashdot: "7 3 2 3" };
/** How near the pointer has to be, and how far from the frame the ends of the axis across are, in pixels. */
const REACH = 24;
const EDGE = 6;

/**
 * Text with `<sup>`, `<sub>` and Markdown's `**` as elements; any other markup stays text.
 * @param {string} text
 */
export const richText = (text) =>
  text
    .split(/(<su[pb]>.*?<\/su[pb]>|\*\*.*?\*\*)/)
    .filter(Boolean)
    .map((part) => {
      const raised = part.match(/^<(su[pb])>(.*)<\/su[pb]>$/);
      if (raised) return element(/** @type {"sup" | "sub"} */ (raised[1]), {}, raised[2]);
      return part.startsWith("**") ? element("strong", {}, part.slice(2, -2)) : part;
    });

/** What is left without markup. */
const bare = (/** @type {string} */ name) => name.replace(/<sup>/g, " to the power ").replace(/<[^>]+>/g, "");

/** What of a chart its elements are made for: all but its numbers. */
const structure = (/** @type {Chart} */ chart) => JSON.stringify(chart, (key, value) => (key === "floats" ? 0 : value));

/**
 * A figure, and what draws into it where sliders stand.
 * @param {Chart} chart
 */
export function createPlot(chart) {
  const grid = svg("g", { class: "grid" });
  const inside = svg("svg", {});
  const cursor = svg("line", { class: "cursor", visibility: "hidden" });
  const label = { role: "img", "aria-label": chart.alt, "data-key": chart.key };
  const drawing = svg("svg", label, grid, inside, cursor);
  const note = element("div", { class: "reading", "aria-hidden": "true", hidden: "" });
  const legend = element("div", { class: "legend" });
  const frame = element("div", { class: "frame" }, drawing, note);
  const heading = element("figcaption", {}, element("span", { class: "axis" }, ...richText(chart.y.title)), legend);
  const foot = element("div", { class: "axis foot" }, ...richText(chart.x.title));
  const figure = element("figure", { class: "plot" }, heading, frame, foot);
  const shapes = chart.series.map((series) => createShape(series));
  const rules = chart.rules.map(() => svg("line", { class: "rule" }));
  inside.append(...rules, ...shapes.map(({ group }) => group));
  const legends = chart.series.map((series) => element("span", { class: `key ${series.role}` }));
  legend.append(...legends.filter((_, i) => chart.series[i].legend));

  /** @type {Curve[]} */
  let curves = [];
  /** @type {{ x: Scale, y: Scale } | null} */
  let scales = null;
  let axes = "";
  /** @type {{ x: number, y: number } | null} where the pointer is */
  let pointer = null;

  /** @param {Stands} stands */
  function draw(stands) {
    curves = chart.series.map((series) => ({
      series,
      name: nameAt(series.name, stands),
      xs: amountAt(series.x, stands),
      ys: amountAt(series.y, stands),
    }));
    const scaled = layOut(stands);
    scales = scaled;
    curves.forEach((curve, i) => {
      shapes[i].draw(curve, scaled);
      const swatch = svg("svg", { viewBox: "0 0 26 10", class: "swatch" });
      if (legends[i].dataset.name !== curve.name) {
        swatch.append(...shapes[i].sample());
        legends[i].replaceChildren(swatch, ...richText(curve.name));
        legends[i].dataset.name = curve.name;
      }
    });
    chart.rules.forEach(({ axis, at }, i) => {
      const place = scaled[axis].place(typeof at === "number" ? at : stands[at].value);
      const ends = axis === "x" ? [place, 0, place, 1e4] : [0, place, 1e4, place];
      ["x1", "y1", "x2", "y2"].forEach((name, n) => rules[i].setAttribute(name, String(ends[n])));
    });
    read();
  }

  /** Axes and their numbers, anew only where the ends or the room changed. */
  function layOut(/** @type {Stands} */ stands) {
    const em = parseFloat(getComputedStyle(drawing).fontSize) || 13;
    const width = Math.max(120, frame.clientWidth);
    const height = Math.round((chart.height * em) / 13);
    const box = { left: 3.4 * em, top: 0.6 * em, right: width - 0.8 * em, bottom: height - 1.7 * em };
    const x = scaleFrom(amountAt(chart.x.ends, stands), chart.x.log, EDGE, box.right - box.left - EDGE);
    const y = scaleFrom(amountAt(chart.y.ends, stands), chart.y.log, box.bottom - box.top, 0);
    const state = [width, height, x.low, x.high, y.low, y.high].join();
    if (state !== axes) {
      axes = state;
      drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
      drawing.style.height = `${height}px`;
      const size = { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top };
      for (const [name, value] of Object.entries(size)) inside.setAttribute(name, String(value));
      const across = (chart.x.ticks.length ? chart.x.ticks : ticksOf(x, size.width / ((x.log ? 3.4 : 5) * em))).filter(
        (tick) => tick >= x.low && tick <= x.high,
      );
      const upwards = ticksOf(y, size.height / (4 * em));
      grid.replaceChildren(
        ...across.flatMap((tick) => {
          const at = box.left + x.place(tick);
          const text = svg("text", { x: at, y: height - 0.4 * em, "text-anchor": "middle" });
          text.textContent = tickText(tick);
          return [svg("line", { x1: at, x2: at, y1: box.top, y2: box.bottom }), text];
        }),
        ...upwards.flatMap((tick) => {
          const at = box.top + y.place(tick);
          const text = svg("text", { x: box.left - 0.5 * em, y: at + 0.35 * em, "text-anchor": "end" });
          text.textContent = tickText(tick);
          return [svg("line", { x1: box.left, x2: box.right, y1: at, y2: at }), text];
        }),
      );
    }
    return { x, y };
  }

  /** The numbers nearest to the pointer. */
  function read() {
    if (!pointer || !scales) return;
    const { x, y } = scales;
    const left = Number(inside.getAttribute("x"));
    const top = Number(inside.getAttribute("y"));
    const px = pointer.x - left;
    const py = pointer.y - top;
    const lines = [];
    let at = NaN;
    for (const { series, name, xs, ys } of curves) {
      if (series.mark === "area") continue;
      const isLine = series.mark === "line" || series.mark === "line and points";
      const nearest = nearestOf(xs, ys, (i) =>
        isLine ? Math.abs(x.place(xs[i]) - px) : Math.hypot(x.place(xs[i]) - px, y.place(ys[i]) - py),
      );
      if (nearest.index < 0 || nearest.distance > REACH) continue;
      if (isLine && Number.isNaN(at)) at = xs[nearest.index];
      const value = element("b", {}, reading(ys[nearest.index]));
      const where = isLine ? [] : [` at ${reading(xs[nearest.index])}`];
      lines.push(element("div", { class: series.role }, value, ...where, " ", ...richText(name)));
    }
    note.hidden = lines.length === 0;
    cursor.setAttribute("visibility", lines.length && !Number.isNaN(at) ? "visible" : "hidden");
    if (!lines.length) return;
    if (!Number.isNaN(at)) {
      const place = left + x.place(at);
      const ends = { x1: place, x2: place, y1: top, y2: top + Number(inside.getAttribute("height")) };
      for (const [key, value] of Object.entries(ends)) cursor.setAttribute(key, String(value));
      lines.unshift(element("div", {}, ...richText(chart.x.title), ` ${reading(at)}`));
    }
    note.replaceChildren(...lines);
    const isRight = pointer.x > frame.clientWidth / 2;
    note.style.left = isRight ? "auto" : `${pointer.x + 14}px`;
    note.style.right = isRight ? `${frame.clientWidth - pointer.x + 14}px` : "auto";
    note.style.top = `${Math.max(0, pointer.y - 20)}px`;
  }

  drawing.onpointermove = (event) => {
    const box = drawing.getBoundingClientRect();
    pointer = { x: event.clientX - box.left, y: event.clientY - box.top };
    read();
  };
  drawing.onpointerleave = () => {
    pointer = null;
    note.hidden = true;
    cursor.setAttribute("visibility", "hidden");
  };

  /** The chart in words. */
  const describe = () => `${chart.alt}. ${curves.filter(({ series }) => series.legend).map(inWords).join(" ")}`;
  /** Other numbers for the same elements; false where others are needed. */
  function take(/** @type {Chart} */ other) {
    if (structure(other) !== structure(chart)) return false;
    chart = other;
    return true;
  }
  return { figure, draw, describe, take };
}

/**
 * @param {Float64Array} xs
 * @param {Float64Array} ys
 * @param {(i: number) => number} measure
 */
function nearestOf(xs, ys, measure) {
  let index = -1;
  let distance = Infinity;
  for (let i = 0; i < xs.length; i++) {
    const here = Number.isFinite(ys[i]) ? measure(i) : Infinity;
    if (here < distance) [index, distance] = [i, here];
  }
  return { index, distance };
}

/** A curve's ends, its lowest and its highest value. */
function inWords(/** @type {Curve} */ { series, name, xs, ys }) {
  const there = [...ys.keys()].filter((i) => Number.isFinite(ys[i]));
  if (!there.length || series.mark === "area") return "";
  const low = there.reduce((best, i) => (ys[i] < ys[best] ? i : best));
  const high = there.reduce((best, i) => (ys[i] > ys[best] ? i : best));
  if (there.length === 1) return `${bare(name)}: ${reading(ys[low])} at ${reading(xs[low])}.`;
  const at = (/** @type {number} */ i) => `${reading(ys[i])} at ${reading(xs[i])}`;
  return `${bare(name)}: from ${at(there[0])} to ${at(there[there.length - 1])}, lowest ${at(low)}, highest ${at(high)}.`;
}

/**
 * The paths of a series.
 * @param {Series} series
 */
function createShape({ role, mark, dash, width, symbol }) {
  const hasLine = mark === "line" || mark === "line and points";
  const line = hasLine ? svg("path", { class: "line", "stroke-width": width, "stroke-dasharray": DASHES[dash] }) : null;
  const area = mark === "area" ? svg("path", { class: "area" }) : null;
  const kind = { rings: "rings", "faint points": "dots faint" }[mark] ?? "dots";
  const points = mark === "line" || area ? null : svg("path", { class: kind });
  const paths = [area, line, points].filter((path) => path !== null);
  const group = svg("g", { class: role }, ...paths);
  const sizeOf = { rings: 4.5, "faint points": 2.4, points: 3.6, "line and points": 3.4 }[mark] ?? 3;
  return {
    group,
    /** The same in small, for the legend. */
    sample() {
      const spots = `M13,5${spot(symbol, sizeOf)}`;
      return paths.map((path) => {
        const copy = /** @type {SVGPathElement} */ (path.cloneNode());
        copy.setAttribute("d", path === points ? spots : path === area ? "M0,0H26V10H0Z" : "M0,5H26");
        return copy;
      });
    },
    /**
     * @param {Curve} curve
     * @param {{ x: Scale, y: Scale }} scales
     */
    draw({ xs, ys }, { x, y }) {
      let joined = "";
      let spots = "";
      let isOpen = false;
      for (let i = 0; i < xs.length; i++) {
        const across = x.place(xs[i]);
        const down = y.place(ys[i]);
        if (!Number.isFinite(across + down)) {
          isOpen = false;
          continue;
        }
        const place = `${across.toFixed(1)},${down.toFixed(1)}`;
        if (line || area) joined += `${isOpen ? "L" : "M"}${place}`;
        if (points) spots += `M${place}${spot(symbol, sizeOf)}`;
        isOpen = true;
      }
      line?.setAttribute("d", joined);
      area?.setAttribute("d", joined && `${joined}Z`);
      points?.setAttribute("d", spots);
    },
  };
}

/** A circle or a diamond around the place where a path is. */
const spot = (/** @type {string} */ symbol, /** @type {number} */ r) =>
  symbol === "diamond"
    ? `m0,${-r}l${r},${r}l${-r},${r}l${-r},${-r}z`
    : `m${-r},0a${r},${r} 0 1 0 ${2 * r},0a${r},${r} 0 1 0 ${-2 * r},0`;
