/** `sallyport evidence verify FILE`: checks an evidence file, without any network, and names what is wrong with it. */
import { createReadStream } from 'node:fs';
import { access, writeFile } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { sha256, verifyEd25519 } from '@sallyport/shared/crypto/sha256.ts';
import { certificates, verifyTimeStamp } from '@sallyport/shared/crypto/time-stamp.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Report } from '@sallyport/shared/evidence/report.ts';
import { type LogKey, parseLogKey, splitNotes } from '@sallyport/shared/evidence/tree-head.ts';
import { EvidenceVerifier } from '@sallyport/shared/evidence/verify.ts';
import type { Command } from 'commander';
import { readText } from '../connection.ts';
import { printable } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';

/** Far above the largest record; a file cannot make us hold more. */
const LINE_LENGTH_MAX = 128 * 1024 * 1024;

export function addVerify(evidence: Command, terminal: Terminal): void {
  evidence
    .command('verify')
    .description('Checks a file of `evidence export`, offline: exit code 0 when it proves what it says, 1 when not.')
    .argument('<file>')
    .option('--key <KEY>', "the control plane's key, as `evidence export` showed it, got on another way than the file")
    .option('--heads <FILE>', 'heads of the control log that were kept elsewhere (`evidence heads --keep`): it must go on from each')
    .option('--tsa-ca <FILE>', 'PEM file with the time-stamping authorities to trust')
    .option('--report <FILE>', 'write the page for people that is in the file (mode 0600; FILE must not exist)')
    .option('--json', 'print JSON')
    .action(async (file: string, options: { key?: string; heads?: string; tsaCa?: string; report?: string; json?: true }) => {
      const heads = options.heads === undefined ? [] : splitNotes(await readText(options.heads, 'the kept heads'));
      if (options.heads !== undefined && heads.length === 0) throw new UsageError(`there is no head in ${options.heads}`);
      const { report, page } = await verifyFile(file, {
        heads,
        ...(options.tsaCa === undefined ? {} : { verifyTimeStamp: checkedBy(await readText(options.tsaCa, 'the authorities')) }),
        ...(options.key === undefined ? {} : { key: pinned(options.key) }),
      });
      if (options.json) terminal.out(JSON.stringify(report, null, 2));
      else show(report, heads.length, terminal);
      if (options.report !== undefined) await writePage(options.report, page, terminal);
      if (!report.ok) {
        const count = report.findings.length + report.more;
        throw new GatewayError(
          'EVIDENCE_BROKEN',
          'invalid',
          `${file} does not prove what it says: ${count} ${count === 1 ? 'finding' : 'findings'}.`,
        );
      }
    });
}

async function verifyFile(
  file: string,
  given: { key?: LogKey; heads: string[]; verifyTimeStamp?: ReturnType<typeof checkedBy> },
): Promise<{ report: Report; page: string | null }> {
  await access(file).catch((cause: unknown) => {
    throw new GatewayError('FILE_UNREADABLE', 'invalid', `the evidence cannot be read from ${file}: ${errorText(cause)}.`, { cause });
  });
  const verifier = new EvidenceVerifier({ sha256, verifyEd25519, ...given });
  for await (const some of lines(file)) {
    for (const line of some) {
      const work = verifier.take(line);
      if (work !== undefined) await work;
    }
  }
  return { report: await verifier.finish(), page: verifier.page };
}

/** @throws {UsageError} when there is no certificate in it: then nothing would ever hold. */
function checkedBy(pem: string): (token: Uint8Array, hash: Uint8Array) => { atMs: number; authority: string } {
  try {
    certificates(pem);
  } catch (error) {
    throw new UsageError(`--tsa-ca cannot be used: ${errorText(error)}`);
  }
  return (token, hash) => verifyTimeStamp(token, hash, pem);
}

/** Only a page that the control plane signed for this file is written. */
async function writePage(file: string, page: string | null, { err, errStyle }: Terminal): Promise<void> {
  if (page === null) {
    err(`${errStyle.yellow('warning:')} there is no page that the control plane signed for this file; nothing is written to ${file}`);
    return;
  }
  await writeFile(file, page, { mode: 0o600, flag: 'wx' }).catch((cause: unknown) => {
    throw new GatewayError('FILE_UNWRITABLE', 'invalid', `the page cannot be written to ${file}: ${errorText(cause)}.`, { cause });
  });
  err(`page for people written to ${file}`);
}

/** The whole lines that can be read: a file that was cut ends early, and the verifier says that its end is missing. */
async function* lines(file: string): AsyncGenerator<string[]> {
  const source = createReadStream(file);
  const text = createGunzip({ chunkSize: 256 * 1024 });
  source.on('error', error => text.destroy(error));
  source.pipe(text);
  text.setEncoding('utf8');
  let rest = '';
  try {
    for await (const chunk of text) {
      const parts = (rest + (chunk as string)).split('\n');
      rest = parts.pop() ?? '';
      yield parts;
      if (rest.length > LINE_LENGTH_MAX) return;
    }
  } catch (error) {
    if (!isDamage(error))
      throw new GatewayError('FILE_UNREADABLE', 'invalid', `${file} cannot be read: ${errorText(error)}.`, { cause: error });
  }
}

function isDamage(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('Z_');
}

function pinned(text: string): LogKey {
  const key = parseLogKey(text, sha256);
  if (key === null) throw new UsageError('--key is no key of a control plane: it looks like NAME+ID+BASE64');
  return key;
}

function show({ ok, scope, findings, more, notes, counts, treeHead, timestamps }: Report, heads: number, { out, style }: Terminal): void {
  for (const { code, message } of findings) out(`${style.red(code)}  ${printable(message)}`);
  if (more > 0) out(`… and ${more} more`);
  for (const { code, message } of notes) out(`${style.yellow(code)}  ${printable(message)}`);
  out(
    `${counts.sessions} sessions, ${counts.records} records, ${counts.checkpoints} checkpoints, ${counts.entries} entries of the control log`,
  );
  if (treeHead !== null)
    out(`control log ${printable(treeHead.origin)}: ${treeHead.size} entries, root ${treeHead.root}, ${printable(treeHead.at)}`);
  for (const { at, entries, authority } of timestamps)
    out(`time stamp: the control log had ${entries} entries by ${at}, says ${printable(authority)}`);
  const asked = Object.entries(scope).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  out(`sessions of: ${printable(asked.join(', ') || 'everything')}`);
  if (heads > 0 && ok) out(`the control log goes on from ${heads === 1 ? 'the kept head' : `all ${heads} kept heads`}`);
  if (ok) out(style.green('complete and unaltered'));
}
