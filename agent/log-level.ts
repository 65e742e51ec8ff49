/** How much the log says, for a while: what somebody turned up to look at a problem is back by itself, also when nobody thinks of it. */

/** pino's; a number or word that it does not know would end the process. */
const LEVELS: ReadonlySet<string> = new Set(['debug', 'info', 'warn', 'error']);
const FOR_MS_MAX = 24 * 60 * 60 * 1000;

export class TimedLogLevel {
  readonly #logger: { level: string };
  readonly #normal: string;
  readonly #onBack: (level: string) => void;
  #timer: NodeJS.Timeout | null = null;

  /** @param logger whose level it is at the start is the normal one. @param onBack called when the time is over. */
  constructor(logger: { level: string }, onBack: (level: string) => void) {
    this.#logger = logger;
    this.#normal = logger.level;
    this.#onBack = onBack;
  }

  /** @param forMs 0: back at once; a day at most. @returns false for a level that there is not. */
  set(level: string, forMs: number): boolean {
    if (!LEVELS.has(level)) return false;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (forMs <= 0) {
      this.#logger.level = this.#normal;
      return true;
    }
    this.#logger.level = level;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#logger.level = this.#normal;
        this.#onBack(this.#normal);
      },
      Math.min(forMs, FOR_MS_MAX),
    );
    this.#timer.unref();
    return true;
  }
}
