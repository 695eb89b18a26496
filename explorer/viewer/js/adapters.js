// @ts-check
// Where the viewer runs: an address bar, a file, a component of Streamlit (components v2).

import { mount } from "./viewer.js";

/** @import { Address, State } from "./types.js" */

/**
 * The state in the page's own address, beside what others keep there.
 * @type {Address}
 */
export const pageAddress = {
  read: () => new URLSearchParams(location.search),
  write(parameters) {
    const url = new URL(location.href);
    for (const [name, value] of Object.entries(parameters)) {
      if (value === null) url.searchParams.delete(name);
      else url.searchParams.set(name, value);
    }
    if (url.href !== location.href) history.replaceState(history.state, "", url);
  },
  link: () => location.href,
};

/**
 * The state in the fragment of a saved page's address; what a server needs has no place there.
 * @type {Address}
 */
export const fragment = {
  read: () => new URLSearchParams(location.hash.slice(1)),
  write({ image, crop, baseline, twicing, input_size, ...state }) {
    const kept = Object.entries(state).flatMap(([name, value]) => (value === null ? [] : [[name, value]]));
    try {
      history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
    } catch {
      // a frame in a notebook has no address of its own
    }
  },
  link: () => location.href,
};

/** Other components of the page drive the viewer by the first event and follow it by the second. */
const COMMAND = "explorer-viewer-set";
const STATE = "explorer-viewer-state";
const announce = (/** @type {State} */ state, /** @type {boolean} */ fresh) =>
  dispatchEvent(new CustomEvent(STATE, { detail: { ...state, fresh } }));

/** @type {WeakMap<HTMLElement, { viewer: ReturnType<typeof mount>, obey: (event: Event) => void }>} */
const mounted = new WeakMap();

/**
 * @param {HTMLElement} root
 * @param {(name: string, value: unknown) => void} setTriggerValue
 */
function mountOnce(root, setTriggerValue) {
  const known = mounted.get(root);
  if (known) return known;
  const save = (/** @type {Record<string, string>} */ parameters) => setTriggerValue("saved", parameters);
  const viewer = mount(root, { address: pageAddress, save, announce });
  const obey = (/** @type {Event} */ event) => {
    if (viewer.header) viewer.set(/** @type {CustomEvent} */ (event).detail);
  };
  addEventListener(COMMAND, obey); // once: of the functions that a component returns, Streamlit calls the last alone
  mounted.set(root, { viewer, obey });
  return { viewer, obey };
}

/**
 * The address of pieces, which is a session's own, and the payload, which is not.
 * @param {Uint8Array} bytes
 */
function enveloped(bytes) {
  const size = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  const address = new TextDecoder().decode(bytes.subarray(4, 4 + size)).trim();
  return { address: address ? new URL(address, location.origin).href : null, payload: bytes.subarray(4 + size) };
}

/** @param {{ data: Uint8Array | ArrayBuffer | null, parentElement: HTMLElement, setTriggerValue: (name: string, value: unknown) => void }} component */
export default function ({ data, parentElement, setTriggerValue }) {
  const root = /** @type {HTMLElement} */ (parentElement.querySelector(".viewer"));
  const { viewer, obey } = mountOnce(root, setTriggerValue);
  if (data) {
    const { address, payload } = enveloped(data instanceof Uint8Array ? data : new Uint8Array(data));
    viewer.load(payload, address);
  }
  return () => {
    removeEventListener(COMMAND, obey);
    viewer.destroy();
    mounted.delete(root);
  };
}
