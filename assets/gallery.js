// @ts-check
// Thumbnails with names as a radio group: a click, an arrow key or a step chooses one; the choice is the trigger value
// `chosen`. Where there are many, a search by name hides the others; what was searched stays over reruns.

/** @type {Record<string, number>} */
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
const MANY = 12;

/** @typedef {{ key: string, title: string, thumbnail: string }} Item */

/**
 * @param {{
 *   data: { items: Item[], chosen: string },
 *   parentElement: HTMLElement,
 *   setTriggerValue(name: string, value: unknown): void,
 * }} component
 */
export default function ({ data, parentElement, setTriggerValue }) {
  const root = /** @type {HTMLElement} */ (parentElement.querySelector(".images"));
  const group = /** @type {HTMLElement} */ (root.querySelector(".gallery"));
  const search = /** @type {HTMLInputElement} */ (root.querySelector("input"));
  const place = /** @type {HTMLElement} */ (root.querySelector(".place"));
  const [back, forward] = /** @type {HTMLButtonElement[]} */ ([...root.querySelectorAll(".steps button")]);
  const { activeElement } = /** @type {Document | ShadowRoot} */ (group.getRootNode());
  const hadFocus = group.contains(activeElement);
  const choose = (/** @type {Item} */ item) => item.key !== data.chosen && setTriggerValue("chosen", item.key);

  search.hidden = data.items.length <= MANY;
  const wanted = () => (search.hidden ? "" : search.value.trim().toLowerCase());
  const matching = () => data.items.filter(({ title }) => title.toLowerCase().includes(wanted()));

  /** @param {number} by */
  function step(by) {
    const items = matching();
    if (!items.length) return;
    const at = items.findIndex((item) => item.key === data.chosen);
    choose(items[at < 0 ? 0 : (at + by + items.length) % items.length]);
  }

  /** @param {Item} item */
  function buttonOf(item) {
    const button = document.createElement("button");
    const picture = document.createElement("img");
    const name = document.createElement("span");
    const chosen = item.key === data.chosen;
    button.type = "button";
    button.title = item.title;
    button.tabIndex = chosen ? 0 : -1;
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", String(chosen));
    button.setAttribute("aria-label", item.title);
    button.onclick = () => choose(item);
    button.onkeydown = (event) => {
      if (!STEPS[event.key]) return;
      event.preventDefault();
      const buttons = [.../** @type {NodeListOf<HTMLElement>} */ (group.querySelectorAll("button"))];
      const next = (buttons.indexOf(button) + STEPS[event.key] + buttons.length) % buttons.length;
      buttons[next].focus();
      choose(matching()[next]);
    };
    picture.src = item.thumbnail;
    picture.alt = "";
    name.textContent = item.title.replace(/[_-]+/g, "$&\u200b"); // where a long name may break
    button.append(picture, name);
    return button;
  }

  function show() {
    const items = matching();
    const buttons = items.map(buttonOf);
    const at = items.findIndex((item) => item.key === data.chosen);
    group.replaceChildren(...buttons);
    place.textContent = items.length ? `${at < 0 ? "–" : at + 1} of ${items.length}` : "none is called so";
    back.disabled = forward.disabled = items.length < 2 && at === 0;
    const checked = buttons[Math.max(at, 0)];
    if (!checked) return null;
    checked.tabIndex = 0;
    group.scrollTop = checked.offsetTop - 70;
    return checked;
  }

  back.onclick = () => step(-1);
  forward.onclick = () => step(1);
  search.oninput = show;
  const checked = show();
  if (hadFocus) checked?.focus();
}
