// Thumbnails as a radio group: click or arrow keys choose one; the choice is the trigger value `chosen`.
export default function ({ data, parentElement, setTriggerValue }) {
  const group = parentElement.querySelector(".gallery");
  const items = data.items.map((item, index) => {
    const button = document.createElement("button");
    const picture = document.createElement("img");
    const chosen = item.key === data.chosen;
    button.type = "button";
    button.title = item.title;
    button.tabIndex = chosen ? 0 : -1;
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", String(chosen));
    button.onclick = () => item.key !== data.chosen && setTriggerValue("chosen", item.key);
    button.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      items[(index + step + items.length) % items.length].focus();
    };
    picture.src = item.thumbnail;
    picture.alt = item.title;
    button.append(picture);
    return button;
  });
  if (!data.items.some((item) => item.key === data.chosen) && items.length) items[0].tabIndex = 0;
  group.replaceChildren(...items);
}
