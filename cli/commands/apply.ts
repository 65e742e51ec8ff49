/** `sallyport apply -f PATH`: makes manifests so. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { inlineCertificates } from '@sallyport/shared/policy/inline-certificates.ts';
import { Command } from 'commander';
import { administratorRequest, type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { type IdentityOptions, withIdentityOptions } from '../identity/token-source.ts';
import { type ChangeReport, changeLines } from '../manifest-changes.ts';
import { type ManifestFile, readManifestFiles } from '../manifest-files.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';
import { personConnection } from './approvals.ts';
import { type ProposedChange, printChange } from './changes.ts';

interface ApplyOptions extends ConnectionOptions, IdentityOptions {
  file: string;
  reason?: string;
  ifMatch?: string;
  propose?: true;
  json?: true;
}

export function define(terminal: Terminal): Command {
  return withIdentityOptions(withConnectionOptions(new Command('sallyport apply')))
    .description('Validates manifests and makes them so. What they do not name stays as it is.')
    .requiredOption('-f, --file <PATH>', 'a manifest, or a folder of them')
    .option('--reason <TEXT>', 'why, for the record')
    .option('--if-match <ETAG>', 'apply what this plan showed, or nothing: the ETag that `sallyport plan` prints')
    .option('--propose', 'propose it instead, for somebody else to approve (`sallyport changes`); wants --reason')
    .option('--json', 'print the changes as JSON')
    .action((options: ApplyOptions) => (options.propose ? propose(options, terminal) : sendManifests(options, terminal, false)));
}

/** As whoever is signed in: the administrator's token proposes nothing. */
async function propose(options: ApplyOptions, terminal: Terminal): Promise<void> {
  const { reason } = options;
  if (reason === undefined) throw new UsageError('--propose wants --reason: whoever reviews it reads that first');
  if (options.ifMatch !== undefined) throw new UsageError('--if-match is for applying; a proposal is about what is in force now');
  const files = await readManifestFiles(options.file);
  const connection = await personConnection(options, terminal);
  const manifests = files.map(withCertificates).map(({ path: file, text }) => ({ file, text }));
  const change = (await administratorRequest(connection, 'POST', '/v1/changes', { manifests, reason })) as ProposedChange;
  printChange(terminal, change, options);
  if (!options.json) terminal.err(`somebody else approves it: sallyport changes approve ${change.id}`);
}

/** For `apply` and `plan`, which differ in one word. */
export async function sendManifests(options: ApplyOptions, terminal: Terminal, dryRun: boolean): Promise<void> {
  // The control plane validates: references may point to what is in force there.
  const files = await readManifestFiles(options.file);
  const connection = await findConnection(options, terminal);
  const body = {
    manifests: files.map(withCertificates).map(({ path: file, text }) => ({ file, text })),
    dryRun,
    ...(options.reason === undefined ? {} : { reason: options.reason }),
  };
  const headers = options.ifMatch === undefined ? {} : { 'if-match': options.ifMatch };
  const report = (await administratorRequest(connection, 'POST', '/v1/apply', body, headers)) as ChangeReport;
  if (options.json) terminal.out(JSON.stringify(report, null, 2));
  else for (const line of changeLines(report, dryRun, terminal.style)) terminal.out(line);
  if (!options.json && report.etag !== undefined) terminal.out(terminal.style.dim(`apply exactly this: --if-match '${report.etag}'`));
}

/** The control plane may be on another machine: certificates travel in the text, secrets are read there. */
function withCertificates(file: ManifestFile): ManifestFile {
  try {
    return inlineCertificates(file, (name, from) => readFileSync(path.resolve(path.dirname(from), name), 'utf8'));
  } catch {
    return file; // the control plane says what is wrong with it, and where
  }
}
