/**
 * When to stop: SIGINT, SIGTERM, SIGHUP, or the end of the process that handed over to this one (bin/sallyport.js on an older
 * Node keeps an IPC channel open for that alone). A second signal forces.
 */
export interface StopSignal {
  /** Resolves at the first signal. */
  asked: Promise<void>;
  isAsked(): boolean;
  /** What to do at the second signal, before the process exits at once. */
  onForce(action: () => void): void;
  dispose(): void;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** One Ctrl-C may arrive twice: from the terminal, and passed on by npm or by the hand-over. */
const SAME_SIGNAL_MS = 1_000;

export function listenForStop(): StopSignal {
  let firstAt: number | undefined;
  let force: () => void = () => {};
  let ask: () => void = () => {};
  const asked = new Promise<void>(resolve => {
    ask = resolve;
  });
  const onSignal = () => {
    const now = performance.now();
    if (firstAt === undefined) {
      firstAt = now;
      ask();
    } else if (now - firstAt > SAME_SIGNAL_MS) {
      force();
      process.exit(1);
    }
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  if (process.connected) {
    process.once('disconnect', onSignal);
    process.channel?.unref();
  }
  return {
    asked,
    isAsked: () => firstAt !== undefined,
    onForce: action => {
      force = action;
    },
    dispose: () => {
      for (const signal of SIGNALS) process.off(signal, onSignal);
      process.off('disconnect', onSignal);
    },
  };
}
