/**
 * The aggregate of the keys to which agents seal the keys of contents (shared/crypto/contents.ts): one stream, `content-key/log`, with
 * their public halves. Private halves are never in the log, for what is in it cannot be destroyed (evidence/contents.ts).
 *
 * There is one current key. It is retired when contents are shredded, and destroyed some time later.
 */
import { type Aggregate, type DomainEvent, grant } from './decider.ts';
import { impossible } from './impossible.ts';

export interface ContentKeyState {
  current: { id: string; publicKey: string; madeAtMs: number } | null;
  /** That are not destroyed yet. */
  retired: readonly { id: string; retiredAtMs: number }[];
}

export type ContentKeyRequest =
  /** `replaces`: the current key as the caller knows it. Whoever knows another comes too late, and nothing is done. */
  { type: 'make'; id: string; publicKey: string; replaces: string | null; nowMs: number } | { type: 'destroyed'; ids: string[] };

export type ContentKeyEvent =
  /** `publicKey`: raw X25519, base64. */
  | { type: 'ContentKeyMade'; payload: { id: string; publicKey: string; atMs: number } }
  | { type: 'ContentKeysDestroyed'; payload: { ids: string[] } };

export const contentKeyAggregate: Aggregate<ContentKeyState, ContentKeyRequest, ContentKeyEvent> = {
  name: 'content-key',
  initialState: { current: null, retired: [] },

  decide(request, { current, retired }) {
    switch (request.type) {
      case 'make': {
        const { id, publicKey, replaces, nowMs: atMs } = request;
        return (current?.id ?? null) === replaces ? grant({ type: 'ContentKeyMade', payload: { id, publicKey, atMs } }) : grant();
      }
      case 'destroyed': {
        const ids = request.ids.filter(each => retired.some(({ id }) => id === each));
        return ids.length === 0 ? grant() : grant({ type: 'ContentKeysDestroyed', payload: { ids } });
      }
    }
  },

  evolve({ current, retired }, event: DomainEvent): ContentKeyState {
    const known = event as ContentKeyEvent;
    switch (known.type) {
      case 'ContentKeyMade': {
        const { id, publicKey, atMs } = known.payload;
        return {
          current: { id, publicKey, madeAtMs: atMs },
          retired: current === null ? retired : [...retired, { id: current.id, retiredAtMs: atMs }],
        };
      }
      case 'ContentKeysDestroyed':
        return { current, retired: retired.filter(({ id }) => !known.payload.ids.includes(id)) };
      default:
        return impossible('content-key', 'log', event);
    }
  },
};
