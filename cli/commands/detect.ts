/**
 * `sallyport detect`: scans text for secrets and personal data with the detectors that a session uses.
 *
 * It prints where something is and what it is, never the value itself: its output may go into a log.
 */
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { parseArgs } from 'node:util';
import { parseGitleaksConfig } from '@sallyport/shared/detectors/custom/gitleaks.ts';
import { type CustomDetector, compileDetectors, type DetectorSet, type Span } from '@sallyport/shared/detectors/engine.ts';
import { errorText } from '@sallyport/shared/errors.ts';

const USAGE = `usage: sallyport detect [FILE...] [--detectors NAME,...] [--gitleaks FILE] [--json | --jsonl] [--exit-code]

Scans files, or standard input without one, for secrets and personal data.

  --detectors NAME,...  detectors and groups (secrets, personal-data, national-ids, all); default all
  --gitleaks FILE       also use the rules of a gitleaks configuration
  --json                print one JSON array of findings
  --jsonl               read lines {"id","text"}, print lines {"id","spans":[[start,end,"detector"],...]};
                        offsets count characters (Unicode code points)
  --exit-code           exit with 1 when something is found
`;

/** Standard streams of the process, or stand-ins. */
export interface DetectStreams {
  stdin: Readable | NodeJS.ReadableStream;
  stdout: Writable | NodeJS.WritableStream;
  stderr: Writable | NodeJS.WritableStream;
}

interface Finding {
  file: string;
  line: number;
  column: number;
  start: number;
  end: number;
  detector: string;
}

/**
 * Runs the command.
 *
 * @param argv what follows `detect`.
 * @returns 0 done, 1 failed (or something found, with --exit-code), 2 usage.
 */
export async function detectCommand(argv: string[], io: DetectStreams): Promise<number> {
  let options: ReturnType<typeof parse>;
  try {
    options = parse(argv);
  } catch (error) {
    io.stderr.write(`${errorText(error)}\n\n${USAGE}`);
    return 2;
  }
  const { values, positionals: files } = options;
  if (values.help) {
    io.stdout.write(USAGE);
    return 0;
  }
  if (values.json && values.jsonl) {
    io.stderr.write(`--json and --jsonl exclude each other\n\n${USAGE}`);
    return 2;
  }
  let set: DetectorSet;
  try {
    set = await compile(values.detectors, values.gitleaks, io);
  } catch (error) {
    io.stderr.write(`${errorText(error)}\n`);
    return 1;
  }
  try {
    const found = values.jsonl ? await scanLines(files, set, io) : await scanFiles(files, set, values.json, io);
    if (found.failed) return 1;
    return values['exit-code'] && found.count > 0 ? 1 : 0;
  } catch (error) {
    io.stderr.write(`${errorText(error)}\n`);
    return 1;
  }
}

function parse(argv: string[]) {
  return parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      detectors: { type: 'string', default: 'all' },
      gitleaks: { type: 'string' },
      json: { type: 'boolean', default: false },
      jsonl: { type: 'boolean', default: false },
      'exit-code': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
}

async function compile(names: string, gitleaks: string | undefined, io: DetectStreams): Promise<DetectorSet> {
  const custom: CustomDetector[] = [];
  if (gitleaks !== undefined) {
    const config = parseGitleaksConfig(await readFile(gitleaks, 'utf8'), gitleaks);
    for (const warning of config.warnings) io.stderr.write(`${warning}\n`);
    custom.push(...config.detectors);
  }
  const wanted = names
    .split(',')
    .map(name => name.trim())
    .filter(name => name !== '');
  return compileDetectors([...wanted, ...custom.map(detector => detector.name)], { custom });
}

async function scanLines(files: readonly string[], set: DetectorSet, io: DetectStreams): Promise<{ failed: boolean; count: number }> {
  let failed = false;
  let count = 0;
  let number = 0;
  const scanLine = (line: string): void => {
    number++;
    if (line.trim() === '') return;
    let parsed: unknown;
    try {
      parsed = JSON.parse(line);
    } catch (error) {
      failed = true;
      io.stderr.write(`line ${number} is no JSON: ${errorText(error)}\n`);
      return;
    }
    if (typeof parsed !== 'object' || parsed === null || !('text' in parsed) || typeof parsed.text !== 'string') {
      failed = true;
      io.stderr.write(`line ${number} has no "text" that is a string\n`);
      return;
    }
    const bytes = Buffer.from(parsed.text, 'utf8');
    const spans = set.scan(bytes, 0, bytes.length);
    count += spans.length;
    io.stdout.write(`${JSON.stringify({ id: 'id' in parsed ? parsed.id : null, spans: inCharacters(bytes, spans) })}\n`);
  };
  if (files.length === 0)
    for await (const line of createInterface({ input: io.stdin as Readable, crlfDelay: Number.POSITIVE_INFINITY })) scanLine(line);
  else for (const file of files) for (const line of (await readFile(file, 'utf8')).split('\n')) scanLine(line);
  return { failed, count };
}

async function scanFiles(
  files: readonly string[],
  set: DetectorSet,
  json: boolean,
  io: DetectStreams,
): Promise<{ failed: boolean; count: number }> {
  const findings: Finding[] = [];
  const inputs: [string, () => Promise<Buffer>][] =
    files.length === 0 ? [['-', () => readAll(io.stdin)]] : files.map(file => [file, () => readFile(file)]);
  for (const [file, read] of inputs) {
    const bytes = await read();
    let line = 1;
    let lineStart = 0;
    let at = 0;
    for (const { start, end, detector } of set.scan(bytes, 0, bytes.length)) {
      for (; at < start; at++) {
        if (bytes[at] === 10) {
          line++;
          lineStart = at + 1;
        }
      }
      findings.push({ file, line, column: 1 + characters(bytes, lineStart, start), start, end, detector });
    }
  }
  if (json) io.stdout.write(`${JSON.stringify(findings, null, 2)}\n`);
  else
    for (const { file, line, column, detector, start, end } of findings)
      io.stdout.write(`${file}:${line}:${column}: ${detector} (${end - start} bytes)\n`);
  return { failed: false, count: findings.length };
}

async function readAll(stream: Readable | NodeJS.ReadableStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Buffer));
  return Buffer.concat(chunks);
}

/** Number of Unicode code points in UTF-8 bytes [start, end). */
function characters(bytes: Uint8Array, start: number, end: number): number {
  let count = 0;
  for (let i = start; i < end; i++) if (((bytes[i] as number) & 0xc0) !== 0x80) count++;
  return count;
}

function inCharacters(bytes: Uint8Array, spans: readonly Span[]): [number, number, string][] {
  let at = 0;
  let count = 0;
  const position = (offset: number): number => {
    count += characters(bytes, at, offset);
    at = offset;
    return count;
  };
  return spans.map(span => [position(span.start), position(span.end), span.detector]);
}
