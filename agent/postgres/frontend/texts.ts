/** Small things that the handling of the client's messages shares. */
import type { SessionEffect } from '@sallyport/shared/sql/analyse.ts';

/** A text that PostgreSQL's grammar refuses. */
export const REFUSED_TEXT = 'refused by the gateway';

const TRANSACTION_ENDS = new Set(['commit', 'rollback', 'rollback-to-savepoint', 'prepare-transaction']);

/** What a failed transaction accepts (IsTransactionExitStmt). */
export function endsTransaction(effect: SessionEffect): boolean {
  return effect.type === 'transaction' && TRANSACTION_ENDS.has(effect.verb);
}

/** A name as it came, byte by byte, for people. */
export function readableName(name: string): string {
  return Buffer.from(name, 'latin1').toString('utf8');
}
