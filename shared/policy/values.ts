/**
 * The values that several kinds of manifests share, with their checks: names, labels, addresses, URLs, conditions, patterns,
 * secrets, certificates. Each check's message is a predicate of which the field is the subject.
 */
import { errorText, GatewayError } from '../errors.ts';
import { parsePublicKeyLine } from '../ssh/keys.ts';
import { compileExpression, type ExpressionScope } from './cel.ts';
import type { ApprovalSpec, ResourceSelector, SecretSource } from './model.ts';
import { isPattern, needsQuotedIdentifier, parsePattern } from './patterns.ts';
import { parseDurationMs, parseSizeBytes } from './quantities.ts';
import {
  defaulted,
  flag,
  INVALID,
  integer,
  listOf,
  mapOf,
  mapped,
  object,
  optional,
  quantity,
  type Reading,
  required,
  shown,
  type Type,
  text,
} from './schema.ts';
import type { Position, YamlNode } from './yaml-source.ts';

const DAY_MS = 86_400_000;

/** Like a DNS label: also usable as a host name, a file name and a part of a URL. */
export function name(): Type<string> {
  return text(value =>
    /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(value)
      ? null
      : `is no valid name: ${shown(value)}; use up to 63 lower-case letters, digits and dashes, with a letter or digit at both ends`,
  );
}

/** One line of free text, such as a group or a user name. */
export function line(lengthMax: number): Type<string> {
  return text(value => {
    if (value.length > lengthMax) return `is longer than ${lengthMax} characters`;
    return /\p{Cc}/u.test(value) ? 'must be one line without control characters' : null;
  });
}

export function labels(): Type<Record<string, string>> {
  const keyProblem = (key: string): string | null =>
    /^[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?$/.test(key)
      ? null
      : 'is no valid label; use letters, digits, `.`, `_`, `/` and `-`, with a letter or digit at both ends';
  const value = text(each =>
    /^[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?$/.test(each) ? null : `is no valid label value: ${shown(each)}`,
  );
  return mapOf(keyProblem, value);
}

export function duration(minMs: number, maxMs: number): Type<number> {
  return quantity('duration', parseDurationMs, minMs, maxMs, '1h30m');
}

export function size(max: number): Type<number> {
  return quantity('size', parseSizeBytes, 0, max, '50MB');
}

export function selector(): Type<ResourceSelector> {
  return object({
    names: optional(listOf(name(), { min: 1 }), 'Names of resources, any of which matches.'),
    labels: optional(labels(), 'Labels, all of which must match.'),
  });
}

export function groups(min: number): Type<string[]> {
  return listOf(line(256), { min });
}

/** `host:port`, with brackets around an IPv6 address. */
export function splitAddress(address: string): { host: string; port: number } | null {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})?)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port > 65_535 ? null : { host, port };
}

export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase();
  return bare === 'localhost' || bare === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(bare);
}

export function address(): Type<string> {
  return text(value => {
    const split = splitAddress(value);
    if (split === null) return `is no address: ${shown(value)}; write it as \`host:port\``;
    return split.port === 0 ? 'needs a port other than 0; leave the field out for any free port' : null;
  });
}

/** `host:port` of a forwarded connection; `*` stands for any run of characters in the host, and for any port. */
export function destination(): Type<string> {
  return text(value =>
    /^(?:\[[0-9A-Fa-f:.*]+\]|[A-Za-z0-9*][A-Za-z0-9*._-]{0,252}):(?:\d{1,5}|\*)$/.test(value)
      ? null
      : `is no destination: ${shown(value)}; write it as \`host:port\`, with \`*\` where any will do`,
  );
}

/** A line of known_hosts or authorized_keys without its host and options. */
export function hostKey(): Type<string> {
  return text(value => {
    try {
      parsePublicKeyLine(value);
      return null;
    } catch (error) {
      return `is no SSH public key: ${errorText(error)}`;
    }
  });
}

/** An issuer is compared letter by letter with the token's `iss`, so it is kept as written. */
export function issuer(): Type<string> {
  return text(value => addressProblem(value) ?? (/[?#]/.test(value) ? 'must have no query and no fragment' : null));
}

/** Where a browser is sent to; with a query, if the far side wants one. */
export function webAddress(): Type<string> {
  return text(value => addressProblem(value) ?? (value.includes('#') ? 'must have no fragment' : null));
}

function addressProblem(value: string): string | null {
  if (!URL.canParse(value)) return `is no URL: ${shown(value)}`;
  const url = new URL(value);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must be an `https:` URL';
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) return 'must be an `https:` URL; `http:` is accepted on loopback only';
  return url.username === '' && url.password === '' ? null : 'must not hold a user name or a password';
}

export function condition(scope: ExpressionScope): Type<string> {
  const plain = text();
  return {
    description: { type: 'condition' },
    read(node, name, reading) {
      const source = plain.read(node, name, reading);
      if (source === INVALID) return INVALID;
      const compiled = compileExpression(source, scope);
      return compiled.ok ? source : reading.problem(positionIn(node, source, compiled.offset), `\`${name}\`: ${compiled.message}`);
    },
  };
}

/** Where a character of a text stands in the file, when the text stands there as it is. */
function positionIn(node: YamlNode, source: string, offset: number): Position {
  if (node.type !== 'scalar' || node.textAt === null || source.includes('\n')) return node;
  return { line: node.textAt.line, column: node.textAt.column + offset };
}

export function pattern(forms: readonly string[]): Type<string> {
  return {
    description: { type: 'pattern', values: forms },
    read(node, fieldName, reading) {
      const source = text().read(node, fieldName, reading);
      if (source === INVALID) return INVALID;
      const parsed = parsePattern(source, forms);
      if (!isPattern(parsed)) return reading.problem(node, `\`${fieldName}\`: ${shown(source)} ${parsed.problem}`);
      if (needsQuotedIdentifier(source)) {
        reading.warn(node, `${shown(source)} has capital letters, so it matches only names that were created in double quotes`);
      }
      return source;
    },
  };
}

/** A path in Vault: no empty step, nor one that leads elsewhere. */
export function vaultPath(): Type<string> {
  return text(value =>
    value.length <= 512 && value.split('/').every(step => /^[A-Za-z0-9._-]+$/.test(step) && !/^\.{1,2}$/.test(step))
      ? null
      : 'is no path; use letters, digits, `.`, `_`, `-` and single slashes between',
  );
}

export function awsRegion(): Type<string> {
  return text(value => (/^[a-z0-9-]{1,32}$/.test(value) ? null : 'is no region'));
}

export function secret(): Type<SecretSource> {
  const forms = object({
    env: optional(
      text(value => {
        if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(value)) return 'is no name of an environment variable';
        return /^SALLYPORT_/i.test(value) ? 'must not begin with `SALLYPORT_`; those are the gateway’s own' : null;
      }),
      'The environment variable that holds it.',
    ),
    file: optional(line(4096), 'The file that holds it; one line break at its end is not part of it.'),
    value: optional(text(), 'The secret itself. Warned about: it is then readable wherever the manifest is.'),
    vault: optional(
      object({
        mount: defaulted(vaultPath(), 'secret', 'secret', 'Where the KV store (version 2) is mounted.'),
        path: required(vaultPath(), 'The secret’s path in it.'),
        field: defaulted(line(256), 'password', 'password', 'Which of its fields.'),
        version: optional(integer(1, Number.MAX_SAFE_INTEGER), 'Which version; absent: the newest, whenever there is a newer one.'),
      }),
      'A secret of Vault or OpenBao, which the control plane asks (VAULT_ADDR, VAULT_TOKEN or VAULT_TOKEN_FILE).',
    ),
    awsSecret: optional(
      object({
        secretId: required(line(2048), 'Its name or ARN.'),
        field: optional(line(256), 'Which field, where the secret is JSON; absent: the whole text.'),
        region: optional(awsRegion(), 'Where it is; absent: the control plane’s own region.'),
      }),
      'A secret of AWS Secrets Manager, which the control plane asks with its own keys.',
    ),
  });
  return mapped(forms, (value, node, reading) => {
    const given = exactlyOne(value, ['env', 'file', 'value', 'vault', 'awsSecret'], 'a secret', node, reading);
    if (given === INVALID) return INVALID;
    if (value.vault !== undefined) return { vault: value.vault };
    if (value.awsSecret !== undefined) return { awsSecret: value.awsSecret };
    if (value.env !== undefined) return { env: value.env };
    if (value.file !== undefined) return { file: value.file };
    reading.warn(node, 'the secret is written in the manifest; use `env` or `file` instead');
    return { value: value.value ?? '' };
  });
}

/** PEM text, given in a file beside the manifest or in the manifest; the result is the PEM itself. */
export function certificate(): Type<string> {
  const forms = object({
    file: optional(line(4096), 'A PEM file; a path that is not absolute starts at the manifest’s folder.'),
    value: optional(text(), 'The PEM text itself.'),
  });
  return mapped(forms, (value, node, reading) => {
    if (exactlyOne(value, ['file', 'value'], 'a certificate', node, reading) === INVALID) return INVALID;
    const pem = value.file === undefined ? value.value : readNamed(value.file, node, reading);
    if (pem === undefined) return INVALID;
    if (!/-----BEGIN CERTIFICATE-----[\s\S]+-----END CERTIFICATE-----/.test(pem) || pem.includes('PRIVATE KEY-----')) {
      return reading.problem(node, 'holds no PEM certificate, or a private key beside it');
    }
    return pem;
  });
}

const PEM_LENGTH_MAX = 262_144;

/** The text of a file that a manifest names, or undefined with a problem at the node. */
export function readNamed(path: string, node: YamlNode, reading: Reading): string | undefined {
  if (reading.readFile === undefined) {
    reading.problem(node, 'a file cannot be read here; give the text as `value`');
    return undefined;
  }
  try {
    const pem = reading.readFile(path);
    if (pem.length <= PEM_LENGTH_MAX) return pem;
    reading.problem(node, `${shown(path)} is longer than ${PEM_LENGTH_MAX} characters`);
  } catch (error) {
    reading.problem(node, `cannot read ${shown(path)}: ${unreadable(error)}`);
  }
  return undefined;
}

/** A system error's own message would show where the reader looked; its code does not. */
function unreadable(error: unknown): string {
  if (error instanceof GatewayError) return error.message;
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'it is not readable';
  return code === 'ENOENT' ? 'there is no such file' : code;
}

export function exactlyOne(value: object, names: readonly string[], what: string, node: YamlNode, reading: Reading): typeof INVALID | null {
  const given = names.filter(each => Object.hasOwn(value, each));
  if (given.length === 1) return null;
  const wanted = names.map(each => `\`${each}\``).join(', ');
  return reading.problem(node, `${what} needs exactly one of ${wanted}${given.length === 0 ? '' : `; ${given.length} are given`}`);
}

export function approval(): Type<ApprovalSpec> {
  const fields = object({
    from: required(
      object({ groups: required(groups(1), 'Groups of which every one must approve.') }),
      'Who may approve. Nobody approves their own command.',
    ),
    quorum: defaulted(integer(1, 20), 1, '1', 'How many different persons of each group must approve.'),
    expiresIn: defaulted(duration(1000, 7 * DAY_MS), 900_000, '15m', 'How long the command waits.'),
    preview: defaulted(flag(), false, 'false', 'Whether the approver is shown what the command would change.'),
  });
  return mapped(fields, ({ from, quorum, expiresIn, preview }) => ({ from, quorum, expiresInMs: expiresIn, preview }));
}
