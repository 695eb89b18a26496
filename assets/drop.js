// @ts-check
// Files that are dropped anywhere on the page, or pasted, are handed to the uploader's own input, whose limits hold.
// Other components open the uploader with `dispatchEvent(new CustomEvent("explorer-upload"))`, in a click or a key.

const OPEN = "explorer-upload";
const INPUT = ".st-key-uploads input[type=file]";
const REST = 600; // ms without an event of a drag: browsers send one at least every 350

const inputOf = () => /** @type {HTMLInputElement | null} */ (document.querySelector(INPUT));

/** @param {Event} event */
const isElsewhere = (event) =>
  event
    .composedPath()
    .some(
      (node) =>
        node instanceof HTMLElement &&
        (node.matches("input, textarea, select, [data-testid=stFileUploaderDropzone]") || node.isContentEditable),
    );

/** @param {FileList} files */
function hand(files) {
  const input = inputOf();
  if (!input) return;
  const transfer = new DataTransfer();
  for (const file of files) transfer.items.add(file);
  input.files = transfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

/** @param {Element} place whose colours it takes */
function createSign(place) {
  const sign = document.createElement("div");
  const colours = getComputedStyle(place);
  const [text, ground] = ["--st-text-color", "--st-background-color"].map((name) => colours.getPropertyValue(name));
  sign.textContent = "Drop photographs anywhere";
  sign.setAttribute("role", "status");
  sign.className = "drop-sign";
  Object.assign(sign.style, {
    position: "fixed",
    inset: "10px",
    zIndex: "1000000",
    display: "grid",
    placeItems: "center",
    pointerEvents: "none",
    border: `3px dashed ${text}`,
    borderRadius: "14px",
    background: `color-mix(in srgb, ${ground} 78%, transparent)`,
    color: text,
    font: "600 1.4rem system-ui, sans-serif",
  });
  return sign;
}

let leave = () => {}; // of the functions that a component returns, Streamlit calls the last alone

/** @param {{ parentElement: HTMLElement }} component */
export default function ({ parentElement }) {
  leave();
  const place = /** @type {Element} */ (parentElement.querySelector("span"));
  const ears = new AbortController();
  /** @type {HTMLElement | null} */
  let sign = null;
  let timer = 0;

  function hide() {
    clearTimeout(timer);
    sign?.remove();
    sign = null;
  }

  /** @param {DragEvent} event */
  function over(event) {
    if (!event.dataTransfer?.types.includes("Files") || !inputOf()) return;
    if (!sign) document.body.append((sign = createSign(place)));
    clearTimeout(timer);
    timer = setTimeout(hide, REST);
    if (isElsewhere(event)) return;
    event.preventDefault(); // or the browser would not let go of it here
    event.dataTransfer.dropEffect = "copy";
  }

  /** @param {DragEvent} event */
  function drop(event) {
    hide();
    if (!event.dataTransfer?.files.length || !inputOf() || isElsewhere(event)) return;
    event.preventDefault();
    hand(event.dataTransfer.files);
  }

  /** @param {ClipboardEvent} event */
  function paste(event) {
    if (!event.clipboardData?.files.length || !inputOf() || isElsewhere(event)) return;
    event.preventDefault();
    hand(event.clipboardData.files);
  }

  const { signal } = ears;
  addEventListener("dragenter", over, { signal });
  addEventListener("dragover", over, { signal });
  addEventListener("drop", drop, { signal });
  addEventListener("paste", paste, { signal });
  addEventListener(OPEN, () => inputOf()?.click(), { signal });
  leave = () => {
    ears.abort();
    hide();
  };
  return leave;
}
