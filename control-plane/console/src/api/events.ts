/**
 * Live updates: one stream of server-sent events makes cached answers stale as they change. Read with `fetch`, because EventSource can
 * send no header; resumed by `Last-Event-ID`. What an event carries is used to decide what to ask again, not shown: answers are asked as
 * whoever is signed in.
 */
import type { QueryClient } from '@tanstack/react-query';
import { useSyncExternalStore } from 'react';
import { authorization } from './client.ts';
import { refresh } from './refresh.ts';
import { streamParts } from './stream-parts.ts';

export type LiveState = 'connecting' | 'live' | 'lost';

export interface LiveEvent {
  type: keyof typeof stale;
  /** JSON of the changed thing. */
  data: Readonly<Record<string, unknown>>;
}

/** What each event makes stale: keys of queries. */
const stale = {
  approval: [['approvals'], ['approval']],
  session: [['sessions'], ['session'], ['overview']],
  command: [['commands'], ['session'], ['overview']],
  agent: [['agents'], ['resources'], ['overview']],
  change: [['changes'], ['change']],
  policy: [['manifests'], ['resources'], ['history'], ['changes'], ['change']],
  // Too many to tell one by one.
  skipped: [['sessions'], ['commands'], ['session'], ['overview']],
} as const satisfies Record<string, readonly (readonly string[])[]>;

let state: LiveState = 'connecting';
const stateListeners = new Set<() => void>();
const eventListeners = new Set<(event: LiveEvent) => void>();

export function liveState(): LiveState {
  return state;
}

export function onLiveState(listener: () => void): () => void {
  stateListeners.add(listener);
  return () => stateListeners.delete(listener);
}

/** Changes are told as they happen; while they are not, lists ask by themselves. */
export function useIsLive(): boolean {
  return useSyncExternalStore(onLiveState, () => state === 'live');
}

export function onLiveEvent(listener: (event: LiveEvent) => void): () => void {
  eventListeners.add(listener);
  return () => eventListeners.delete(listener);
}

function setState(next: LiveState): void {
  if (state === next) return;
  state = next;
  for (const listener of stateListeners) listener();
}

const retryFirstMs = 500;
const retryMaxMs = 10_000;
/** The server says something at least this often; silence means that the connection is gone. */
const silenceMaxMs = 40_000;
/** A burst of changes is one question, not many; approvals do not wait. */
const gatherMs = 400;
const settleMs = 2500;

/** Follows until `stop` fires. */
export function followEvents(client: QueryClient, stop: AbortSignal): void {
  let lastId = '';
  let waitMs = retryFirstMs;
  const pending = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const flush = () => {
    timer = undefined;
    for (const key of pending) void refresh(client, JSON.parse(key) as string[]);
    pending.clear();
  };
  const settling = new Set<string>();
  const settle = (type: LiveEvent['type']) => {
    if (settling.has(type)) return;
    settling.add(type);
    setTimeout(() => {
      settling.delete(type);
      for (const key of stale[type]) void refresh(client, key);
    }, settleMs);
  };
  const take = (event: LiveEvent) => {
    for (const key of stale[event.type]) pending.add(JSON.stringify(key));
    if (event.type === 'approval') {
      clearTimeout(timer);
      flush();
    } else {
      timer ??= setTimeout(flush, gatherMs);
      // Told as it happens; the store, which lists are read from, takes it in a little later.
      if (event.type !== 'agent' && event.type !== 'policy' && event.type !== 'change') settle(event.type);
    }
    for (const listener of eventListeners) listener(event);
  };
  const once = async () => {
    const silence = new AbortController();
    let watch = setTimeout(() => silence.abort(), silenceMaxMs);
    try {
      const response = await fetch('/v1/events', {
        headers: { accept: 'text/event-stream', ...authorization('GET'), ...(lastId === '' ? {} : { 'last-event-id': lastId }) },
        cache: 'no-store',
        signal: AbortSignal.any([stop, silence.signal]),
      });
      if (!response.ok || response.body === null) throw new Error(`events: ${response.status}`);
      setState('live');
      waitMs = retryFirstMs;
      // A comment is a sign of life as well.
      for await (const block of streamParts(response.body, '\n\n')) {
        clearTimeout(watch);
        watch = setTimeout(() => silence.abort(), silenceMaxMs);
        const fields = new Map(
          block.split('\n').map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()] as const),
        );
        const type = fields.get('event') ?? '';
        // What changed since the last stream ended, or since the page asked first, nobody tells any more.
        if (type === 'hello' && dataOf(fields.get('data'))['resumed'] !== true) {
          if (lastId !== '') void refresh(client, []);
          else for (const key of new Set(Object.values(stale).flat(2))) void refresh(client, [key]);
          // What was told a moment before may not be in the store yet either.
          settle('skipped');
        }
        if (Object.hasOwn(stale, type)) take({ type: type as LiveEvent['type'], data: dataOf(fields.get('data')) });
        lastId = fields.get('id') ?? lastId;
      }
    } finally {
      clearTimeout(watch);
    }
  };
  const loop = async () => {
    while (!stop.aborted) {
      await once().catch(() => {}); // Shown by the state; the next attempt tells more.
      if (stop.aborted) return;
      setState(waitMs > retryFirstMs * 2 ? 'lost' : 'connecting');
      await new Promise(resolve => setTimeout(resolve, waitMs));
      waitMs = Math.min(waitMs * 2, retryMaxMs);
    }
  };
  void loop();
}

function dataOf(text: string | undefined): Record<string, unknown> {
  try {
    const data: unknown = JSON.parse(text ?? '{}');
    return typeof data === 'object' && data !== null ? (data as Record<string, unknown>) : {};
  } catch {
    return {}; // Not JSON: that something changed is told all the same.
  }
}
