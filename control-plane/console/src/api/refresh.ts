/**
 * Asks again what may have changed. `invalidateQueries` alone joins a query's first fetch, whose answer may have been made before the
 * change: it would be taken for new. Such a query is asked once more when that answer is there.
 */
import type { QueryClient } from '@tanstack/react-query';

/** Never rejects. @param key the beginning of the queries' keys; empty: all. */
export async function refresh(client: QueryClient, key: readonly string[]): Promise<void> {
  const first = client
    .getQueryCache()
    .findAll({ queryKey: key, fetchStatus: 'fetching' })
    .filter(({ state }) => state.data === undefined);
  await client.invalidateQueries({ queryKey: key });
  await Promise.all(first.map(({ queryKey }) => client.invalidateQueries({ queryKey, exact: true })));
}
