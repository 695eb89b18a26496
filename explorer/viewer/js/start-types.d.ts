/** The records of the start page; `explorer/viewer/start.py` writes them. */

import type { ColourRange, Size } from "./types.js";

export interface StartModel {
  name: string;
  grid: Size;
  input: Size;
  /** What the query at rest is called. */
  rest: string;
  /** Row of the query at rest by layer, over the patches; mean over heads. */
  maps: Float32Array[];
  /** Whether the values of a layer may be below 0. */
  signed: boolean[];
  /** A JPEG. */
  photo: Uint8Array<ArrayBuffer>;
  answer: string;
}

/** A patch that the two models answer differently. */
export interface Parting {
  layer: number;
  head: number;
  row: number;
  column: number;
  maps: Float32Array[];
  said: string;
}

export interface StartPayload {
  id: string;
  models: StartModel[];
  layers: number;
  /** The one that is shown at first. */
  layer: number;
  /** RGB of the five pictures by layer and step, patch by patch. */
  steps: Uint8Array;
  share: number[];
  /** Mean similarity of V, AV and (2A − A²)V by layer. */
  alike: number[][];
  said: string[];
  looks: string[];
  partings: Parting[];
  link: Record<string, string> | null;
  palettes: Record<"light" | "dark", string[]>;
  colours: Record<string, Uint8Array>;
}

/** What is shown. */
export interface StartState {
  layer: number;
  /** Place between the first picture (0) and the last (4). */
  step: number;
  /** Place of the divider, in shares of the width. */
  divider: number;
  /** Which of the partings is shown; none at -1. */
  parting: number;
}

/** A map on one side of the divider. */
export interface Side {
  name: string;
  values: Float32Array;
  grid: Size;
  range: ColourRange;
  photo: string;
}
