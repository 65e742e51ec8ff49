/** Clients that keep what they were answered, and the check that each of those commands is in the session store exactly once. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Gateway } from './gateway.ts';
import type { Issuer } from './issuer.ts';
import { RawClient } from './raw-postgres.ts';
import { people } from './shop.ts';

/** A small generator with a seed, so that a failing order of kills can be had again. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Clients that ask until they are stopped, and keep what was answered. */
export function clients(
  gateway: Gateway,
  issuer: Issuer,
  mark: string,
  count: number,
): { acknowledged: string[]; stop: () => Promise<void> } {
  const acknowledged: string[] = [];
  let asked = 0;
  let ended = false;
  const { host, port } = gateway.address('crm');
  const ca = readFileSync(gateway.endpoints().ca, 'utf8');
  const running = Array.from({ length: count }, async (_, worker) => {
    while (!ended) {
      let client: RawClient | undefined;
      try {
        client = await RawClient.connect({ host, port, user: 'w', database: 'app', password: await issuer.token(people.support), ca });
        while (!ended) {
          const text = `select '${mark}_${worker}_${asked++}'`;
          const frames = await client.simple(text);
          if (frames.some(frame => frame.type === 'D')) acknowledged.push(text);
          await new Promise(resolve => setTimeout(resolve, 2));
        }
      } catch {
        // The agent is down: come back when it is up again. What was in flight was not acknowledged.
        await new Promise(resolve => setTimeout(resolve, 200));
      }
      client?.close();
    }
  });
  return {
    acknowledged,
    stop: async () => {
      ended = true;
      await Promise.all(running);
    },
  };
}

interface Counted {
  text: string;
  n: string;
}

/** @param count told how many were acknowledged, and of these lost and doubled, before anything fails. */
export async function eachOnce(
  gateway: Gateway,
  mark: string,
  acknowledged: readonly string[],
  count: (counts: { acknowledged: number; lost: number; doubled: number }) => void = () => undefined,
): Promise<void> {
  const sql = `select text, count() as n from sallyport.commands where text like '%${mark}%' group by text`;
  const lostOf = (found: readonly Counted[]) => {
    const seen = new Set(found.map(row => row.text));
    return acknowledged.filter(text => !seen.has(text));
  };
  await gateway.eventually<Counted>(sql, found => lostOf(found).length === 0, 180_000).catch(() => []); // what is lost is counted below
  const rows = await gateway.query<Counted>(sql);
  const [lost, doubled] = [lostOf(rows), rows.filter(row => Number(row.n) !== 1)];
  count({ acknowledged: acknowledged.length, lost: lost.length, doubled: doubled.length });
  assert.deepEqual(lost, [], 'nothing is lost');
  assert.deepEqual(doubled, [], 'nothing is doubled');
  const holes = await gateway.query(
    'select session_id, count() as n, uniqExact(seq) as u, max(seq) as m from sallyport.records group by session_id having n != u or m + 1 != n',
  );
  assert.deepEqual(holes, []);
  assert.deepEqual(await gateway.query('select code, reason from sallyport.dead_letters'), []);
}
