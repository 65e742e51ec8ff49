/**
 * `sallyport evidence heads`: the signed head of the control log as it is now; with `--keep FILE`, held against those that the file has
 * from earlier and then added to it. Run it where the control plane's administrators cannot reach, e.g. daily.
 */
import { open, readFile } from 'node:fs/promises';
import { sha256, verifyEd25519 } from '@sallyport/shared/crypto/sha256.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { checkKeptHeads, type ShownHead } from '@sallyport/shared/evidence/kept-heads.ts';
import { parseLogKey, parseTreeHead, splitNotes } from '@sallyport/shared/evidence/tree-head.ts';
import type { Command } from 'commander';
import { administratorRequest, type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { printable } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';

type Options = ConnectionOptions & { keep?: string; key?: string; json?: true };

export function addHeads(evidence: Command, terminal: Terminal): void {
  withConnectionOptions(evidence.command('heads'))
    .description('Shows the signed head of the control log, to be kept elsewhere; exit code 1 when it does not go on from kept ones.')
    .option('--keep <FILE>', 'hold it against the heads in this file, then add it to them (the file may be missing)')
    .option('--key <KEY>', "the control plane's key, got on another way")
    .option('--json', 'print JSON')
    .action(async (options: Options) => {
      const { out, err, style } = terminal;
      const pinned = options.key === undefined ? null : parseLogKey(options.key, sha256);
      if (options.key !== undefined && pinned === null)
        throw new UsageError('--key is no key of a control plane: it looks like NAME+ID+BASE64');
      const kept = options.keep === undefined ? [] : await keptHeads(options.keep);
      const connection = await findConnection(options, terminal);
      const sizes = kept.flatMap(note => parseTreeHead(note)?.head.size ?? []);
      const query = sizes.length === 0 ? '' : `?heads=${[...new Set(sizes)].join(',')}`;
      const shown = (await administratorRequest(connection, 'GET', `/v1/evidence/heads${query}`)) as ShownHead;
      const key = pinned ?? parseLogKey(shown.key, sha256);
      if (key === null) throw new GatewayError('KEY_INVALID', 'protocol', 'the control plane answered with a key that is none.');
      const { head, findings } = await checkKeptHeads(shown, kept, key, { sha256, verifyEd25519 });
      const isGood = findings.length === 0 && head !== null;
      if (options.json) out(JSON.stringify({ ok: isGood, ...shown, kept: kept.length, findings }, null, 2));
      else {
        for (const { code, message } of findings) out(`${style.red(code)}  ${printable(message)}`);
        out(shown.head.note.trimEnd());
      }
      if (!isGood) {
        throw new GatewayError(
          'EVIDENCE_BROKEN',
          'invalid',
          'the control log is not the one whose heads were kept. Keep the head above beside them: both are signed, and show it.',
        );
      }
      const before = kept.map(note => parseTreeHead(note)?.head).some(old => old?.size === head.size);
      if (options.keep !== undefined && !before) await add(options.keep, shown.head.note, kept.length > 0);
      if (kept.length > 0) err(`it goes on from all ${kept.length} kept heads`);
      if (pinned === null) err(`key of the control plane: ${printable(shown.key)}`);
    });
}

/** @throws {GatewayError} FILE_UNREADABLE, for anything but a file that is not there. */
async function keptHeads(file: string): Promise<string[]> {
  try {
    return splitNotes(await readFile(file, 'utf8'));
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return [];
    throw new GatewayError('FILE_UNREADABLE', 'invalid', `the kept heads cannot be read from ${file}: ${errorText(cause)}.`, { cause });
  }
}

async function add(path: string, note: string, isFollowing: boolean): Promise<void> {
  try {
    const file = await open(path, 'a', 0o600);
    try {
      await file.appendFile(`${isFollowing ? '\n' : ''}${note}`);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new GatewayError('FILE_UNWRITABLE', 'invalid', `the head cannot be added to ${path}: ${errorText(cause)}.`, { cause });
  }
}
