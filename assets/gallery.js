// @ts-check
// Thumbnails as a radio group: a click or an arrow key chooses one; the choice is the trigger value `chosen`.

/** @type {Record<string, number>} */
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

/** @typedef {{ key: string, title: string, thumbnail: string }} Item */

/**
 * @param {{
 *   data: { items: Item[], chosen: string },
 *   parentElement: HTMLElement,
 *   setTriggerValue(name: string, value: unknown): void,
 * }} component
 */
export default function ({ data, parentElement, setTriggerValue }) {
  const group = /** @type {HTMLElement} */ (parentElement.querySelector(".gallery"));
  const { activeElement } = /** @type {Document | ShadowRoot} */ (group.getRootNode());
  const hadFocus = group.contains(activeElement);
  const choose = (/** @type {Item} */ item) => item.key !== data.chosen && setTriggerValue("chosen", item.key);
  const items = data.items.map((item, index) => {
    const button = document.createElement("button");
    const picture = document.createElement("img");
    const chosen = item.key === data.chosen;
    button.type = "button";
    button.title = item.title;
    button.tabIndex = chosen ? 0 : -1;
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", String(chosen));
    button.onclick = () => choose(item);
    button.onkeydown = (event) => {
      const step = STEPS[event.key];
      if (!step) return;
      event.preventDefault();
      const next = (index + step + items.length) % items.length;
      items[next].focus();
      choose(data.items[next]);
    };
    picture.src = item.thumbnail;
    picture.alt = item.title;
    button.append(picture);
    return button;
  });
  group.replaceChildren(...items);
  const checked = items.find((button) => button.tabIndex === 0) ?? items[0];
  checked.tabIndex = 0;
  group.scrollTop = checked.offsetTop - group.offsetTop - 70;
  if (hadFocus) checked.focus();
}
