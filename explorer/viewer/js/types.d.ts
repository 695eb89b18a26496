/** The records that the viewer's modules pass on; read by the type checker and by people, never by a browser. */

/** Height and width, rows and columns: downwards first. */
export type Size = [number, number];
/** A place of the picture in shares of its height and width. */
export type Place = [number, number];
/** Of the heads: their mean, patch by patch the largest magnitude, or one from 0. */
export type HeadChoice = "mean" | "max" | number;
export type MatrixName = "effective" | "A" | "A − A²" | "2A − A²" | "rollout" | "E₀";
export type Scale = "map" | "shared" | "absolute";
export type Drawing = "smooth" | "cells" | "contours";
/** Where the divider of one photograph for both models is, in shares of its width; `auto`: as narrow pages need it. */
export type Wipe = "auto" | "off" | number;

/** Where colours begin and end; `low` is below 0 where values are signed. */
export interface ColourRange {
  low: number;
  high: number;
}

/**
 * Attention as bytes: entry `(q, k)` of layer and head is `scales[q] c |c| / steps²` of `c = codes[q, k]`, up to half a
 * step of its root. `steps` is 255, or 127 where there are negative entries.
 */
export interface Codes {
  codes: Uint8Array | Int8Array;
  steps: number;
  scales: Float32Array;
}

/** Entry `(q, k)` is `scales[q] codes[q, k] / 32767`, up to half a step. */
export interface Signed {
  codes: Int16Array;
  scales: Float32Array;
}

/** A query's row of A and of A² in every layer and head, and of rollout in every layer. */
export interface Rows {
  attention: Codes;
  squares: Codes;
  rollout: Float32Array;
}

export type PieceKind = "rows" | "layer" | "rollout";
/** A part of what the models made of the image that comes by itself. */
export interface Piece {
  /** Which model. */
  of: number;
  kind: PieceKind;
  /** The layer from 0; of rows the query, a token or -1. */
  at: number;
}

/** One model and what it made of the image: a model's part of the payload's header, with its sections. */
export interface Model {
  name: string;
  label: string;
  counterfactual: boolean;
  /** By block what is applied to its values, `m, c_0, c_1, ...` of `m J + c_0 I + c_1 A + c_2 A² + ...`. */
  effective: number[][];
  /** Likewise what is applied to the first block's values; missing where nothing is, in any block. */
  first?: number[][];
  /** Whether A itself has negative entries, so that its rows are no distributions. */
  hasSigns: boolean;
  /** By layer whether entries of the rollout up to it may be negative. */
  isSigned: boolean[];
  layers: number;
  heads: number;
  tokens: number;
  /** How many tokens come before the patches, and what they are called. */
  prefix: number;
  prefixNames: string[];
  grid: Size;
  /** Pixels of its input, and of a patch. */
  input: Size;
  patch: Size;
  /** The query while nothing is pointed at: a token, or -1 for the mean of the patches' rows. */
  rest: number;
  restName: string;
  /** Equal where two models saw the same region of the photograph. */
  crop: string;
  /** Cosine of each token with the other patches, by state and token; then the means over the patches by state. */
  each: Float32Array;
  similarity: number[];
  residual: number[];
  top: [string, number][];
  /** A JPEG. */
  photo: Uint8Array<ArrayBuffer>;
  /** Entropies of rows of A by layer, head and token, the mean patch last; attention distances by patch; null where rows are no distributions. */
  entropies: Float32Array | null;
  distances: Float32Array | null;
  /** What came of it: rows by query, first those of the query at rest; matrices of all heads and rollouts by layer. */
  rows: Map<number, Rows>;
  matrices: (Codes | null)[];
  rollouts: (Signed | null)[];
}

export interface Header {
  id: string;
  models: Model[];
  /** What a link needs besides the state; null for uploads. */
  link: Record<string, string> | null;
  /** What is shown at first, in the words of an address. */
  state: Record<string, string> | null;
  /** The layer that is shown at first, from 0; null for the last. */
  layer: number | null;
  palettes: Record<"light" | "dark", string[]>;
  /** RGB by 256 steps. */
  colours: Record<string, Uint8Array>;
}

/** What is shown, in what can be copied: nothing here belongs to a document. */
export interface State {
  /** From 0. */
  layer: number;
  head: HeadChoice;
  /** The query's patch; null for a prefix token, or the query at rest. */
  place: Place | null;
  /** The prefix token that is the query where no patch is, by name; null for the query at rest. */
  token: string | null;
  /** Whether the pointer reads values instead of choosing the query. */
  pinned: boolean;
  matrix: MatrixName;
  scale: Scale;
  colours: string;
  opacity: number;
  drawing: Drawing;
  difference: boolean;
  /** Which model is shown in both places, 1 or 2; 0 for one in each. */
  blink: number;
  allHeads: boolean;
  wipe: Wipe;
  /** Whether the page has no room for two maps beside each other. */
  narrow: boolean;
  /** The patch under the pointer. */
  cursor?: Place | null;
}

/** What one of the two places shows. */
export interface Picture {
  model: Model;
  index: number;
  /** Second model minus first. */
  isDifference: boolean;
  values: Float32Array;
  range: ColourRange;
  name: string;
  label: string;
  /** How far the value of a patch may be from the models' own, and the end of the range. */
  errorAt(patch: number): number;
  endError: number;
}

/** Where the state can be shared. */
export interface Address {
  read(): URLSearchParams;
  /** `null` deletes. */
  write(parameters: Record<string, string | null>): void;
  link(): string;
}

export interface Options {
  address?: Address | null;
  save?: ((parameters: Record<string, string>) => void) | null;
  announce?: ((state: State, fresh: boolean) => void) | null;
}

/** What the parts of the viewer ask of it. */
export interface Actions {
  set(change: Partial<State>): void;
  toggle(key: "difference" | "allHeads"): void;
  toggleWipe(): void;
  togglePlay(): void;
  toRest(): void;
  /** The photographs alone, while it is so. */
  original(is: boolean): void;
  /** Null where there is nothing to link to, or nobody who saves. */
  copyLink: ((button: HTMLButtonElement) => void) | null;
  save: (() => void) | null;
}
