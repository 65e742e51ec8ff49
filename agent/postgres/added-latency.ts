/**
 * What the agent itself adds to a command's time, where the window takes it: from the client's bytes to their way up, and from the
 * database's answer to its way down, so without the database's own time and without people's.
 *
 *     idle ── the client sends ──▶ up ── sent ──▶ out ── an answer ──▶ down ── released ──▶ idle
 *                                                  ▲───── sent ─────────┘
 */
import type { LatencyWindow } from '../session/latency-window.ts';

export class AddedLatency {
  readonly #window: LatencyWindow;
  #state: 'idle' | 'up' | 'out' | 'down' = 'idle';
  #sinceMs = 0;
  #addedMs = 0;

  constructor(window: LatencyWindow) {
    this.#window = window;
  }

  clientSent(): void {
    if (this.#state !== 'idle' || !this.#window.takesNext()) return;
    this.#state = 'up';
    this.#sinceMs = performance.now();
    this.#addedMs = 0;
  }

  sentUp(): void {
    if (this.#state !== 'up' && this.#state !== 'down') return;
    this.#addedMs += performance.now() - this.#sinceMs;
    this.#state = 'out';
  }

  answered(): void {
    if (this.#state !== 'out') return;
    this.#sinceMs = performance.now();
    this.#state = 'down';
  }

  sentDown(): void {
    if (this.#state !== 'down') return;
    this.#state = 'idle';
    this.#window.add((this.#addedMs + performance.now() - this.#sinceMs) * 1000);
  }

  /** People had to answer: this one says nothing. */
  drop(): void {
    this.#state = 'idle';
  }
}
