// @ts-check
// A guided tour: cards that drive the attention viewer on the same page, and wait where the learner has to do something.
// Each step has a title, a text, the viewer's state it starts from, and perhaps `wait`: the state to be reached by hand.

const COMMAND = "explorer-viewer-set";
const STATE = "explorer-viewer-state";

/** @typedef {Record<string, unknown>} State of the viewer */
/** @typedef {{ title: string, text: string, state: State, task?: string, wait?: Record<string, unknown[]> }} Step */
/** @typedef {{ at: number, done: Set<number>, leave?: () => void }} Progress */

/** @type {WeakMap<Element, Progress>} */
const places = new WeakMap();

/**
 * Whether the viewer's state is what a step waits for: every key has one of the values listed.
 * @param {Record<string, unknown[]>} wait
 * @param {State} state
 */
export function isReached(wait, state) {
  return Object.entries(wait).every(([key, values]) =>
    values.includes(key === "placed" ? Boolean(state.place && state.pinned) : state[key]),
  );
}

/** @param {{ data: { steps: Step[] }, parentElement: HTMLElement }} component */
export default function ({ data, parentElement }) {
  const root = /** @type {HTMLElement} */ (parentElement.querySelector(".tour"));
  /** @type {Progress} */
  const tour = places.get(root) ?? { at: 0, done: new Set() };
  places.set(root, tour);
  const part = (/** @type {string} */ name) => /** @type {HTMLButtonElement} */ (root.querySelector(`.${name}`));
  const [count, title, text, task, skip] = ["count", "title", "text", "task", "skip"].map(part);
  const [back, next] = ["back", "next"].map(part);
  const step = () => data.steps[tour.at];

  const drive = () => dispatchEvent(new CustomEvent(COMMAND, { detail: step().state }));

  function show() {
    const { wait } = step();
    const waits = Boolean(wait) && !tour.done.has(tour.at);
    count.textContent = `${tour.at + 1} of ${data.steps.length}`;
    title.textContent = step().title;
    text.textContent = step().text;
    task.textContent = wait ? `${waits ? "○" : "✓"} ${step().task}` : "";
    task.classList.toggle("done", Boolean(wait) && !waits);
    back.disabled = tour.at === 0;
    next.disabled = waits || tour.at === data.steps.length - 1;
    skip.hidden = !waits;
  }

  /** @param {number} by */
  function go(by) {
    tour.at = Math.max(0, Math.min(data.steps.length - 1, tour.at + by));
    drive();
    show();
    title.focus({ preventScroll: true });
  }

  /** @param {Event} event */
  function follow(event) {
    const { detail } = /** @type {CustomEvent} */ (event);
    if (detail.fresh) return drive();
    const { wait } = step();
    if (wait && !tour.done.has(tour.at) && isReached(wait, detail)) {
      tour.done.add(tour.at);
      show();
    }
  }

  back.onclick = () => go(-1);
  next.onclick = () => go(1);
  skip.onclick = () => go(1);
  root.onkeydown = (event) => {
    if (event.key === "ArrowRight" && !next.disabled) go(1);
    else if (event.key === "ArrowLeft" && !back.disabled) go(-1);
  };
  tour.leave?.(); // of the functions returned below, Streamlit calls the last alone
  addEventListener(STATE, follow);
  tour.leave = () => removeEventListener(STATE, follow);
  show();
  drive();
  return tour.leave;
}
