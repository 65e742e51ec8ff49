/**
 * The file that names the outputs (docs/reference/outputs.md): checked whole before anything is sent; secrets from the environment or from
 * files. Unknown names are errors, with the nearest valid one.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { didYouMean } from '@sallyport/shared/policy/nearest.ts';
import { isLoopback } from '@sallyport/shared/policy/values.ts';
import { parse } from 'yaml';
import { EVENT_TYPES, type EventType } from './event.ts';

export type Target =
  | { kind: 'http'; url: string; headers: Record<string, string>; ca?: string; lines: boolean }
  | { kind: 'otlp'; url: string; headers: Record<string, string>; ca?: string }
  | { kind: 'syslog'; host: string; port: number; ca?: string; cert?: string; key?: string; facility: number; hostname: string }
  | { kind: 'file'; path: string; rotateBytes: number; keep: number }
  | {
      kind: 's3';
      endpoint: string;
      bucket: string;
      prefix: string;
      region: string;
      accessKeyId: string;
      secretAccessKey: string;
      ca?: string;
    };

export interface OutputConfig {
  name: string;
  target: Target;
  events: ReadonlySet<EventType>;
  /** Empty: all. Events without a resource (changes) are not held back by it. */
  resources: ReadonlySet<string>;
  /** Fields that are left out. */
  drop: ReadonlySet<string>;
  /** Share of the events of a type that is sent, above 0 to 1. */
  sample: Readonly<Partial<Record<EventType, number>>>;
}

type Fields = Record<string, unknown>;
type Env = Readonly<Record<string, string | undefined>>;

const OUTPUTS_MAX = 32;
const KINDS = ['http', 'otlp', 'syslog', 'file', 's3'] as const;

/** @throws {GatewayError} OUTPUTS_INVALID with the output and the field. */
export function readOutputs(file: string, env: Env): OutputConfig[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new GatewayError('OUTPUTS_INVALID', 'invalid', `The outputs cannot be read from ${file}: ${errorText(cause)}.`, { cause });
  }
  return parseOutputs(text, env, path => readFileSync(resolve(dirname(file), path), 'utf8'));
}

/**
 * Checks a file of outputs for whoever starts the process that sends.
 * @returns the variables that it names: what that process must be given, and no more.
 * @throws {GatewayError} OUTPUTS_INVALID.
 */
export function checkOutputs(file: string, env: Env): Record<string, string> {
  const named: Record<string, string> = {};
  const noting = new Proxy(env, {
    get(_env, name) {
      const value = typeof name === 'string' ? env[name] : undefined;
      if (typeof name === 'string' && value !== undefined) named[name] = value;
      return value;
    },
  });
  readOutputs(file, noting);
  return named;
}

export function parseOutputs(text: string, env: Env, readText: (path: string) => string): OutputConfig[] {
  let document: unknown;
  try {
    document = parse(text);
  } catch (cause) {
    throw invalid('outputs', `it is no YAML: ${errorText(cause)}`);
  }
  const { outputs } = fields(document, 'outputs', ['outputs']);
  if (!Array.isArray(outputs) || outputs.length === 0 || outputs.length > OUTPUTS_MAX)
    throw invalid('outputs', `give a list of 1 to ${OUTPUTS_MAX} outputs`);
  const all = outputs.map((each, at) => output(each, `outputs[${at}]`, env, readText));
  const names = new Set(all.map(({ name }) => name));
  if (names.size < all.length) throw invalid('outputs', 'two have the same name; each has its own cursor by it');
  return all;
}

function output(value: unknown, place: string, env: Env, readText: (path: string) => string): OutputConfig {
  const given = fields(value, place, ['name', 'events', 'resources', 'drop', 'sample', ...KINDS]);
  const name = string(given, 'name', place);
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(name))
    throw invalid(`${place}.name`, 'lower-case letters, digits and dashes, please: it names a file');
  const kinds = KINDS.filter(kind => given[kind] !== undefined);
  const [kind] = kinds;
  if (kind === undefined || kinds.length > 1) throw invalid(place, `give one of ${KINDS.join(', ')}`);
  const events = strings(given, 'events', place) ?? [...EVENT_TYPES];
  for (const event of events) eventType(event, `${place}.events`);
  const sample: Partial<Record<EventType, number>> = {};
  for (const [type, share] of Object.entries(
    given['sample'] === undefined ? {} : fields(given['sample'], `${place}.sample`, EVENT_TYPES),
  )) {
    if (typeof share !== 'number' || !(share > 0 && share <= 1)) throw invalid(`${place}.sample.${type}`, 'a share above 0, at most 1');
    sample[eventType(type, place)] = share;
  }
  return {
    name,
    target: target(kind, given[kind], `${place}.${kind}`, env, readText),
    events: new Set(events.map(event => eventType(event, place))),
    resources: new Set(strings(given, 'resources', place)),
    drop: new Set(strings(given, 'drop', place)),
    sample,
  };
}

function target(kind: (typeof KINDS)[number], value: unknown, place: string, env: Env, readText: (path: string) => string): Target {
  const secret = (given: unknown, at: string): string => {
    if (typeof given === 'string') return given;
    const source = fields(given, at, ['env', 'file']);
    if (typeof source['env'] === 'string') {
      const found = env[source['env']];
      if (!found) throw invalid(at, `the environment variable ${source['env']} is not set`);
      return found;
    }
    if (typeof source['file'] !== 'string') throw invalid(at, 'give { env: NAME } or { file: PATH }');
    try {
      return readText(source['file']).trimEnd();
    } catch (cause) {
      throw invalid(at, `${source['file']} cannot be read: ${errorText(cause)}`);
    }
  };
  const pem = (given: Fields, key: string) => (given[key] === undefined ? {} : { [key]: secret(given[key], `${place}.${key}`) });
  switch (kind) {
    case 'http':
    case 'otlp': {
      const given = fields(value, place, kind === 'http' ? ['url', 'headers', 'ca', 'body'] : ['url', 'headers', 'ca']);
      const headers = Object.entries(given['headers'] === undefined ? {} : fields(given['headers'], `${place}.headers`));
      const body = given['body'] ?? 'array';
      if (body !== 'array' && body !== 'lines') throw invalid(`${place}.body`, '`array` or `lines`');
      const common = {
        url: address(string(given, 'url', place), `${place}.url`),
        headers: Object.fromEntries(headers.map(([header, from]) => [header.toLowerCase(), secret(from, `${place}.headers.${header}`)])),
        ...pem(given, 'ca'),
      };
      return kind === 'otlp' ? { kind, ...common } : { kind, ...common, lines: body === 'lines' };
    }
    case 'syslog': {
      const given = fields(value, place, ['address', 'ca', 'cert', 'key', 'facility', 'hostname']);
      const [, host = '', port = ''] = /^(.+):(\d{1,5})$/.exec(string(given, 'address', place)) ?? [];
      if (host === '') throw invalid(`${place}.address`, 'HOST:PORT');
      const facility = given['facility'] ?? 13;
      if (typeof facility !== 'number' || !Number.isInteger(facility) || facility < 0 || facility > 23)
        throw invalid(`${place}.facility`, '0 to 23');
      const hostname = given['hostname'] === undefined ? 'sallyport' : string(given, 'hostname', place);
      if (!/^[!-~]{1,255}$/.test(hostname)) throw invalid(`${place}.hostname`, 'printable ASCII without spaces');
      return {
        kind,
        host: host.replace(/^\[|\]$/g, ''),
        port: Number(port),
        ...pem(given, 'ca'),
        ...pem(given, 'cert'),
        ...pem(given, 'key'),
        facility,
        hostname,
      };
    }
    case 'file': {
      const given = fields(value, place, ['path', 'rotateBytes', 'keep']);
      return {
        kind,
        path: resolve(string(given, 'path', place)),
        rotateBytes: whole(given, 'rotateBytes', place, 100_000_000, 4096),
        keep: whole(given, 'keep', place, 10, 1),
      };
    }
    case 's3': {
      const given = fields(value, place, ['endpoint', 'bucket', 'prefix', 'region', 'accessKeyId', 'secretAccessKey', 'ca']);
      const bucket = string(given, 'bucket', place);
      if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) throw invalid(`${place}.bucket`, 'no name of a bucket');
      return {
        kind,
        endpoint: address(string(given, 'endpoint', place), `${place}.endpoint`).replace(/\/+$/, ''),
        bucket,
        prefix: given['prefix'] === undefined ? '' : string(given, 'prefix', place),
        region: given['region'] === undefined ? 'us-east-1' : string(given, 'region', place),
        accessKeyId: secret(given['accessKeyId'], `${place}.accessKeyId`),
        secretAccessKey: secret(given['secretAccessKey'], `${place}.secretAccessKey`),
        ...pem(given, 'ca'),
      };
    }
  }
}

/** Evidence does not cross a network in the clear. */
function address(text: string, place: string): string {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.hostname))))
    throw invalid(place, 'an https: address, or http: of this machine');
  return text;
}

function fields(value: unknown, place: string, known?: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(place, 'a mapping is needed');
  for (const name of known === undefined ? [] : Object.keys(value)) {
    if (!known?.includes(name)) throw invalid(place, `it has no \`${name}\`${didYouMean(name, known ?? [])}`);
  }
  return value as Fields;
}

function string(given: Fields, name: string, place: string): string {
  const value = given[name];
  if (typeof value !== 'string' || value === '') throw invalid(`${place}.${name}`, 'a text is needed');
  return value;
}

function strings(given: Fields, name: string, place: string): string[] | undefined {
  const value = given[name];
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || !value.every(each => typeof each === 'string'))
    throw invalid(`${place}.${name}`, 'a list of texts is needed');
  return value as string[];
}

function whole(given: Fields, name: string, place: string, otherwise: number, least: number): number {
  const value = given[name] ?? otherwise;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least)
    throw invalid(`${place}.${name}`, `a whole number of at least ${least}`);
  return value;
}

function eventType(text: string, place: string): EventType {
  const type = EVENT_TYPES.find(each => each === text);
  if (type === undefined) throw invalid(place, `there are no events \`${text}\`; there are ${EVENT_TYPES.join(', ')}`);
  return type;
}

function invalid(place: string, why: string): GatewayError {
  return new GatewayError('OUTPUTS_INVALID', 'invalid', `${place}: ${why}.`);
}
