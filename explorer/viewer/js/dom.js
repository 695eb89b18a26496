// @ts-check
// Elements of a page in one expression.

const SVG = "http://www.w3.org/2000/svg";

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} attributes those that begin with `on` are properties
 * @param {...(Node | string)} children
 */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) Object.assign(node, { [name]: value });
    else node.setAttribute(name, String(value));
  }
  node.append(...children);
  return node;
}

/**
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | number>} attributes
 * @param {...(Node | string)} children
 */
export function svg(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

/**
 * A button of its own kind.
 * @param {Record<string, unknown>} attributes
 * @param {...(Node | string)} children
 */
export const button = (attributes, ...children) => element("button", { type: "button", ...attributes }, ...children);

/**
 * Whether light text stands on a dark page.
 * @param {Element} root
 */
export function isDark(root) {
  const probe = getComputedStyle(root)
    .backgroundColor.match(/[\d.]+/g)
    ?.map(Number) ?? [255, 255, 255];
  return probe.length < 4 || probe[3] > 0
    ? probe[0] + probe[1] + probe[2] < 384
    : matchMedia("(prefers-color-scheme: dark)").matches;
}
