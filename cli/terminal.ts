/**
 * What a command may do to the outside: write to standard output and error, read standard input and the environment.
 * Commands get one of these instead of `process`, so that tests can watch them.
 */
export interface Terminal {
  /** Writes a line (or several) of result. */
  out: (text: string) => void;
  /** Writes what is no line, to standard output. */
  raw: (text: string) => void;
  /** Writes a line (or several) for people only: progress, warnings, hints. */
  err: (text: string) => void;
  env: Readonly<Record<string, string | undefined>>;
  stdin: NodeJS.ReadableStream;
  /** Whether people look at it: only then it is drawn over, and only then progress is shown. */
  isOutTerminal?: boolean;
  isErrTerminal?: boolean;
  /** Writes what is no line, to standard error. */
  rawErr?: (text: string) => void;
  /** Styles for what is written to standard output and to standard error; plain when that is not a terminal. */
  style: Style;
  errStyle: Style;
}

export interface Style {
  bold: (text: string) => string;
  dim: (text: string) => string;
  red: (text: string) => string;
  green: (text: string) => string;
  yellow: (text: string) => string;
  cyan: (text: string) => string;
}

/** Styles by ANSI codes, or none at all. */
export function styleOf(enabled: boolean): Style {
  const code = (open: number, close: number) =>
    enabled ? (text: string) => `\u001b[${open}m${text}\u001b[${close}m` : (text: string) => text;
  return { bold: code(1, 22), dim: code(2, 22), red: code(31, 39), green: code(32, 39), yellow: code(33, 39), cyan: code(36, 39) };
}

/** Whether to colour: a terminal that can, unless NO_COLOR (no-color.org) says otherwise; FORCE_COLOR wins over both. */
export function wantsColor(stream: { isTTY?: boolean }, env: Readonly<Record<string, string | undefined>>): boolean {
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '0') return true;
  if (env.NO_COLOR) return false;
  return stream.isTTY === true && env.TERM !== 'dumb';
}

/** The process's own terminal. */
export function processTerminal(): Terminal {
  // Whoever read our output may have gone (`sallyport up | head`); that is no reason to stop.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  return {
    out: text => void process.stdout.write(`${text}\n`),
    raw: text => void process.stdout.write(text),
    err: text => void process.stderr.write(`${text}\n`),
    env: process.env,
    stdin: process.stdin,
    isOutTerminal: process.stdout.isTTY === true && process.env.TERM !== 'dumb',
    isErrTerminal: process.stderr.isTTY === true && process.env.TERM !== 'dumb',
    rawErr: text => void process.stderr.write(text),
    style: styleOf(wantsColor(process.stdout, process.env)),
    errStyle: styleOf(wantsColor(process.stderr, process.env)),
  };
}
