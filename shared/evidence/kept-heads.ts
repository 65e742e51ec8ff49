/**
 * Holds the head that a control plane shows now against those that it showed before and that somebody kept: the same log, grown, or
 * another one? Whoever has the control plane's own key can write a log anew, but cannot take back a head that he once signed.
 *
 * Pure; keeping heads and asking for new ones is the caller's.
 */
import { LogProof } from './log-proof.ts';
import type { Sha256 } from './merkle.ts';
import type { Finding } from './report.ts';
import { type LogKey, openTreeHead, type TreeHead, type VerifyEd25519 } from './tree-head.ts';

/** What `GET /v1/evidence/heads` answers. Hashes are base64. */
export interface ShownHead {
  /** The key that signs, as people pin it. */
  key: string;
  head: { origin: string; size: number; root: string; at: string; note: string };
  /** For each size that was asked for and that the log has: that the log of that size is its beginning. */
  consistency: { size: number; proof: string[] }[];
}

export async function checkKeptHeads(
  shown: ShownHead,
  kept: readonly string[],
  key: LogKey,
  { sha256, verifyEd25519 }: { sha256: Sha256; verifyEd25519: VerifyEd25519 },
): Promise<{ head: TreeHead | null; findings: Finding[] }> {
  const findings: Finding[] = [];
  const head = await openTreeHead(shown.head.note, key, verifyEd25519, sha256);
  if (head === null) {
    const message = 'The head of the control log is not signed by the control plane’s key.';
    return { head, findings: [{ code: 'TREE_HEAD_FORGED', message }] };
  }
  const old: TreeHead[] = [];
  for (const note of kept) {
    const opened = await openTreeHead(note, key, verifyEd25519, sha256);
    if (opened !== null) old.push(opened);
    else findings.push({ code: 'KEPT_HEAD_FORGED', message: `A kept head (${note.split('\n', 1)[0] ?? ''}) is not signed by this key.` });
  }
  const malformed = (why: string) => void findings.push({ code: 'FILE_MALFORMED', message: `What the control plane answered is ${why}.` });
  const proof = new LogProof({ sha256, find: finding => findings.push(finding), malformed, believe: () => {} });
  for (const { size, proof: hashes } of shown.consistency) proof.consistency({ size, proof: hashes });
  proof.checkKept(head, old);
  return { head, findings };
}
