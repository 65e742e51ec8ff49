/** What the page and the player's document say to each other. */
export interface Mark {
  /** From the beginning of the recording. */
  seconds: number;
  label: string;
}

export type ToPlayer = { type: 'load'; cast: string; markers: Mark[]; dark: boolean } | { type: 'seek'; seconds: number };

export type FromPlayer = { type: 'waiting' } | { type: 'ready' } | { type: 'ended' };
