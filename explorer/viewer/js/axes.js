// @ts-check
// Axes: from numbers to places, and the round numbers to write beside them.

const DIGITS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** @typedef {{ low: number, high: number, log: boolean, place: (value: number) => number, value: (place: number) => number }} Scale */

/**
 * @param {Float64Array} ends
 * @param {boolean} log whether equal ratios are equally far apart
 * @param {number} from place of the low end, in pixels
 * @param {number} to
 * @returns {Scale}
 */
export function scaleFrom([low, high], log, from, to) {
  const measure = log ? Math.log10 : Number;
  const start = measure(low);
  const span = measure(high) - start || 1;
  return {
    low,
    high,
    log,
    place: (value) => from + ((to - from) * (measure(value) - start)) / span,
    value: (place) => {
      const share = start + (span * (place - from)) / (to - from);
      return log ? 10 ** share : share;
    },
  };
}

/**
 * Round numbers within the ends, about `most` at most.
 * @param {Scale} scale
 * @param {number} most
 */
export function ticksOf({ low, high, log }, most) {
  if (log) {
    const first = Math.floor(Math.log10(low));
    const last = Math.ceil(Math.log10(high));
    const inside = (/** @type {number[]} */ factors, step = 1) => {
      const ticks = [];
      for (let power = first; power <= last; power += step) {
        ticks.push(...factors.map((factor) => Number(`${factor}e${power}`)));
      }
      return ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
    };
    const fine = inside([1, 2, 5]);
    return fine.length <= most ? fine : inside([1], Math.ceil(inside([1]).length / most));
  }
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

/** A number of an axis as it is written there. */
export function tickText(/** @type {number} */ value) {
  const power = Math.log10(Math.abs(value));
  if (value === 0 || (power >= -2.5 && power < 4.5)) return String(value).replace("-", "−");
  const digits = String(Math.floor(power + 1e-9)).replace(/\d/g, (digit) => DIGITS[Number(digit)]).replace("-", "⁻");
  const factor = Math.round(value / 10 ** Math.floor(power + 1e-9));
  return `${factor === 1 ? "" : `${factor}·`}10${digits}`;
}

/** A value with four digits that count. */
export function reading(/** @type {number} */ value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const text = value === 0 ? "0" : size >= 1e-4 && size < 1e6 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
  return text.replaceAll("-", "−");
}
