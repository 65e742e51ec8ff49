/**
 * A live session's terminal, as it happens, for those who may see recordings. Whoever looks is an observer: the session's record names
 * them from their coming to their going, and a session that runs before four eyes alone begins with that.
 */
import { parseEvent, parseHeader, sizeOf } from '@sallyport/shared/records/asciicast.ts';
import { useEffect, useRef, useState } from 'react';
import { ApiError, authorization } from '../../api/client.ts';
import { streamParts } from '../../api/stream-parts.ts';
import { isDark } from '../../app/theme.ts';
import type { FromPlayer, ToPlayer } from '../../player/messages.ts';
import { Button, Note } from '../../ui/basics.tsx';
import { useShortcuts } from '../../ui/keyboard.ts';
import { Untrusted } from '../../ui/untrusted.tsx';

type State = { name: 'waiting' | 'live' | 'over' } | { name: 'failed'; why: string };

export function LiveTerminal({ sessionId, onLeave }: { sessionId: string; onLeave: () => void }) {
  const frame = useRef<HTMLIFrameElement>(null);
  const [state, setState] = useState<State>({ name: 'waiting' });
  useShortcuts([{ keys: 'Escape', label: 'Stop watching', run: onLeave }]);
  useEffect(() => {
    const stop = new AbortController();
    const player = new PlayerLine(message => frame.current?.contentWindow?.postMessage(message, '*'));
    const listen = (event: MessageEvent) => {
      if (event.source !== frame.current?.contentWindow) return;
      const { type } = event.data as FromPlayer;
      if (type === 'waiting') player.open();
      else if (type === 'ready') setState(now => (now.name === 'waiting' ? { name: 'live' } : now));
    };
    addEventListener('message', listen);
    watch(sessionId, player, stop.signal).then(
      () => setState({ name: 'over' }),
      (error: unknown) => {
        if (!stop.signal.aborted) setState({ name: 'failed', why: error instanceof Error ? error.message : String(error) });
      },
    );
    return () => {
      stop.abort();
      removeEventListener('message', listen);
    };
  }, [sessionId]);
  return (
    <section className="col live-terminal" aria-label="Live terminal">
      <div className="row spread wrap">
        {state.name === 'failed' ? (
          <Note tone="bad">
            <Untrusted text={state.why} />
          </Note>
        ) : (
          <Note tone={state.name === 'over' ? 'good' : 'wait'}>
            {state.name === 'waiting' && 'You are watching. Nothing was shown yet. '}
            {state.name === 'live' && 'You are watching. '}
            {state.name === 'over' ? 'The session has ended.' : 'The session’s record names you until you leave this page.'}
          </Note>
        )}
        <Button onClick={onLeave}>
          Stop watching <kbd className="only-wide">Esc</kbd>
        </Button>
      </div>
      <iframe
        ref={frame}
        className="player"
        title="Live terminal"
        src="/console/player.html"
        sandbox="allow-scripts"
        data-state={state.name}
      />
    </section>
  );
}

/** Messages wait until the player's document listens. */
class PlayerLine {
  readonly #post: (message: ToPlayer) => void;
  #waiting: ToPlayer[] | null = [];

  constructor(post: (message: ToPlayer) => void) {
    this.#post = post;
  }

  open(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    for (const message of waiting) this.#post(message);
  }

  say(message: ToPlayer): void {
    if (this.#waiting === null) this.#post(message);
    else this.#waiting.push(message);
  }
}

/** Ends when the session does. @throws {ApiError} what the control plane says; whatever breaks the line. */
async function watch(sessionId: string, player: PlayerLine, signal: AbortSignal): Promise<void> {
  const response = await fetch(`/v1/sessions/${encodeURIComponent(sessionId)}/live`, {
    headers: authorization('GET'),
    cache: 'no-store',
    credentials: 'same-origin',
    signal,
  });
  if (!response.ok || response.body === null) {
    const problem = (await response.json().catch(() => ({}))) as { code?: string; detail?: string };
    throw new ApiError(response.status, problem.code ?? 'UNKNOWN', problem.detail ?? 'The session cannot be watched.');
  }
  for await (const line of streamParts(response.body, '\n')) {
    if (line.startsWith('{')) player.say({ type: 'live', size: parseHeader(line).term, dark: isDark() });
    const event = line.startsWith('[') ? parseEvent(line) : null;
    if (event === null) continue;
    const [, code, text] = event;
    if (code === 'o') player.say({ type: 'output', text });
    const size = code === 'r' ? sizeOf(text) : null;
    if (size !== null) player.say({ type: 'resize', size: { cols: size.columns, rows: size.rows } });
  }
}
