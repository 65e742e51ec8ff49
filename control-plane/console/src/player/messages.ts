/** What the page and the player's document say to each other. */
export interface Mark {
  /** From the beginning of the recording. */
  seconds: number;
  label: string;
}

export interface Size {
  cols: number;
  rows: number;
}

export type ToPlayer =
  | { type: 'load'; cast: string; markers: Mark[]; dark: boolean }
  | { type: 'seek'; seconds: number }
  /** A terminal that is shown as it happens; `output` and `resize` follow. Another one takes its place. */
  | { type: 'live'; size: Size; dark: boolean }
  | { type: 'output'; text: string }
  | { type: 'resize'; size: Size };

export type FromPlayer = { type: 'waiting' } | { type: 'ready' } | { type: 'ended' };
