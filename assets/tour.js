// A guided tour: cards that drive the attention viewer on the same page, and wait where the learner has to do something.
// Each step has a title, a text, the viewer's state it starts from, and perhaps `wait`: the state to be reached by hand.

const COMMAND = "explorer-viewer-set";
const STATE = "explorer-viewer-state";
const places = new WeakMap();

/** Whether the viewer's state is what a step waits for: every key has one of the values listed. */
export function isReached(wait, state) {
  return Object.entries(wait).every(([key, values]) =>
    values.includes(key === "placed" ? Boolean(state.place && state.pinned) : state[key]),
  );
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".tour");
  const tour = places.get(root) ?? { at: 0, done: new Set() };
  places.set(root, tour);
  const [count, title, text, task, skip] = ["count", "title", "text", "task", "skip"].map((name) =>
    root.querySelector(`.${name}`),
  );
  const [back, next] = ["back", "next"].map((name) => root.querySelector(`.${name}`));
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

  function go(by) {
    tour.at = Math.max(0, Math.min(data.steps.length - 1, tour.at + by));
    drive();
    show();
    title.focus({ preventScroll: true });
  }

  function follow({ detail }) {
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
