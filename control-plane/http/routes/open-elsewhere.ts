/** Sessions of agents that are connected to another replica: the store knows that they have begun and not ended. */
import type { ApiContext } from '../context.ts';

/** @returns null: it has ended, or nobody knows it. @throws {GatewayError} when the store does not answer. */
export async function openElsewhere({ history }: ApiContext, id: string): Promise<{ principal: string; resource: string } | null> {
  if (!history.isConfigured) return null;
  const row = await history.session(id);
  return row !== null && row.status === 'open' ? row : null;
}
