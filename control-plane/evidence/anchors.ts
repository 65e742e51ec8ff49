/**
 * What holds the evidence in place: each ledger's newest checkpoint, as its agent signed it, and the heads of the control log that a
 * time-stamping authority has signed. Stamps are verified here each time they are shown; the heads inside them are for whoever reads to
 * verify, who has no reason to believe this process about its own log (shared/evidence/kept-heads.ts).
 */
import { sha256 } from '@sallyport/shared/crypto/sha256.ts';
import { verifyTimeStamp } from '@sallyport/shared/crypto/time-stamp.ts';
import { errorText } from '@sallyport/shared/errors.ts';
import { decodeStatement } from '@sallyport/shared/evidence/checkpoint.ts';
import { parseTreeHead } from '@sallyport/shared/evidence/tree-head.ts';
import type { Projection } from '../aggregates/projection.ts';

export interface ShownLedger {
  agentId: string;
  ledger: string;
  /** Of the newest checkpoint. */
  number: number;
  /** RFC 3339; null: what the agent signed does not say. */
  at: string | null;
  /** Sessions whose heads it covers. */
  sessions: number;
  /** The agent has shown another checkpoint under this number, or a lower one: its spool was set back or copied. */
  conflict: boolean;
}

export interface ShownStamp {
  /** Entries of the control log under it. */
  size: number;
  /** The signed head. */
  note: string;
  /** The authority's address. */
  url: string;
  /** What the head says of itself. */
  headAt: string;
  /** What the authority says, once verified. */
  stamp: { at: string; authority: string } | null;
  /** Why it was not verified; empty when it was. */
  problem: string;
}

/** Newest first; older ones are in the exports. */
const stampsMax = 50;

/** @param trusted PEM of the authorities; null: none is configured, and no stamp can be verified. */
export function anchorsOf(
  state: Pick<Projection, 'checkpoints' | 'timestamps'>,
  trusted: string | null,
): { ledgers: ShownLedger[]; stamps: ShownStamp[] } {
  const ledgers = Object.entries(state.checkpoints().ledgers).map(([ledger, { agentId, number, statement, conflict }]) => {
    const signed = decodeStatement(Buffer.from(statement, 'base64'));
    const at = signed === null ? null : new Date(signed.atUnixUs / 1000).toISOString();
    return { agentId, ledger, number, at, sessions: signed?.heads ?? 0, conflict: conflict !== null };
  });
  const stamps = state
    .timestamps()
    .roots.slice(-stampsMax)
    .toReversed()
    .map(({ size, note, token, authority }): ShownStamp => {
      const shown = { size, note, url: authority, headAt: parseTreeHead(note)?.head.at ?? '' };
      if (trusted === null) return { ...shown, stamp: null, problem: 'No authority is trusted here: give --timestamps-ca.' };
      try {
        const { atMs, authority: signer } = verifyTimeStamp(Buffer.from(token, 'base64'), sha256(Buffer.from(note)), trusted);
        return { ...shown, stamp: { at: new Date(atMs).toISOString(), authority: signer }, problem: '' };
      } catch (error) {
        return { ...shown, stamp: null, problem: errorText(error) };
      }
    });
  return { ledgers: ledgers.toSorted((a, b) => ((a.at ?? '') < (b.at ?? '') ? 1 : -1)), stamps };
}
