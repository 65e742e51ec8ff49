/** Reads asciicast version 3 as far as the page needs it: how long it is, and where something was shown. */

export interface Shown {
  seconds: number;
  text: string;
}

export interface Cast {
  seconds: number;
  title: string;
  /** What was shown, line by line, without the terminal's own commands. */
  lines: Shown[];
  /** `m` events: what the gateway noted, such as a refusal. */
  marks: Shown[];
}

const linesMax = 50_000;
const lineCharactersMax = 400;

/** ECMA-48: control sequences, operating system commands and other strings, and two-character escapes. */
const escapes = /\u001b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]*[0-~])/g;

/** @param text lines of JSON; those that are no event are left out. */
export function readCast(text: string): Cast {
  const cast: Cast = { seconds: 0, title: '', lines: [], marks: [] };
  let line = '';
  const end = () => {
    const shown = line
      .replace(escapes, '')
      .replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, '')
      .trimEnd();
    if (shown !== '' && cast.lines.length < linesMax) cast.lines.push({ seconds: cast.seconds, text: shown.slice(0, lineCharactersMax) });
    line = '';
  };
  for (const row of text.split('\n')) {
    if (row === '' || row.startsWith('#')) continue;
    let event: unknown;
    try {
      event = JSON.parse(row);
    } catch {
      continue; // Cut off in the middle: what came before counts.
    }
    if (!Array.isArray(event)) {
      cast.title = String((event as { title?: unknown }).title ?? '');
      continue;
    }
    const [interval, code, data] = event as [number, string, string];
    if (typeof interval !== 'number' || typeof data !== 'string') continue;
    // Version 3 counts from the event before.
    cast.seconds += interval;
    if (code === 'm') cast.marks.push({ seconds: cast.seconds, text: data });
    if (code !== 'o') continue;
    const parts = data.split(/\r?\n/);
    for (const [index, part] of parts.entries()) {
      line += part;
      if (index < parts.length - 1 || line.length > 10_000) end();
    }
  }
  end();
  return cast;
}

export function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  const minutes = Math.floor(whole / 60) % 60;
  const rest = `${String(minutes).padStart(2, '0')}:${String(whole % 60).padStart(2, '0')}`;
  return whole >= 3600 ? `${Math.floor(whole / 3600)}:${rest}` : rest;
}
