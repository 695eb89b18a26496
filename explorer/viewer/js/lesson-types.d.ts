/** The records of a lesson's part; `explorer/figures/sliding.py` says what they mean. */

export interface Slider {
  key: string;
  label: string;
  values: number[];
  texts: string[];
  start: number;
  help: string;
}

/** Where a slider stands, of how many positions, and what that is. */
export interface Stand {
  at: number;
  count: number;
  value: number;
  text: string;
}
export type Stands = Record<string, Stand>;

export interface Term {
  floats: Float32Array;
  /** How many numbers a position has. */
  width: number;
  by: string[];
  sign: number;
  times: string | null;
}
export type Amount = Term[];

export interface Series {
  name: string;
  x: Amount;
  y: Amount;
  role: string;
  mark: string;
  dash: string;
  width: number;
  symbol: string;
  legend: boolean;
}

export interface AxisScale {
  title: string;
  ends: Amount;
  log: boolean;
  ticks: number[];
}

export interface Chart {
  key: string;
  alt: string;
  height: number;
  x: AxisScale;
  y: AxisScale;
  series: Series[];
  rules: { axis: "x" | "y"; at: number | string }[];
}

export interface Slot {
  texts: string[];
  by: string[];
}
export interface Words {
  template: string;
  slots: Slot[];
  kind: string;
}
export interface Table {
  columns: string[];
  rows: Words[][];
}
export interface HeatMap {
  key: string;
  title: string;
  alt: string;
  values: Amount;
  ends: Amount;
  grid: [number, number];
  photo: Uint8Array<ArrayBuffer>;
}

export interface LessonPart {
  id: string;
  sliders: Slider[];
  charts: Chart[];
  words: Words[];
  tables: Table[];
  maps: HeatMap[];
  colours: Record<string, Uint8Array>;
  /** Positions of the first slider that are there; null where all are. */
  ready: boolean[] | null;
}
