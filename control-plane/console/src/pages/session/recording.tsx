/** A terminal session, played: with the gateway's marks, search in what was shown, and jumps. */
import { useQuery } from '@tanstack/react-query';
import { useEffect, useMemo, useRef, useState } from 'react';
import { ApiError, authorization, withQuery } from '../../api/client.ts';
import type { RecordedCommand } from '../../api/types.ts';
import { isDark } from '../../app/theme.ts';
import type { FromPlayer, Mark, ToPlayer } from '../../player/messages.ts';
import { Badge, Button, ErrorNote, Loading } from '../../ui/basics.tsx';
import { parseTime } from '../../ui/format.tsx';
import { saveFile } from '../../ui/saved-file.ts';
import { Untrusted } from '../../ui/untrusted.tsx';
import { clock, readCast } from './cast.ts';
import { ContentsGone } from './contents-gone.tsx';

const hitsMax = 200;

function isGone(error: unknown): error is ApiError {
  return error instanceof ApiError && error.code === 'RECORDING_GONE';
}

/** @param shell the command that had the terminal. */
export function Recording({ shell, commands }: { shell: RecordedCommand; commands: readonly RecordedCommand[] }) {
  const recording = useQuery({
    queryKey: ['recording', shell.sessionId, shell.seq],
    queryFn: async ({ signal }) => {
      const path = withQuery(`/v1/sessions/${encodeURIComponent(shell.sessionId)}/recording`, { command: shell.seq });
      const response = await fetch(path, { headers: authorization('GET'), cache: 'no-store', signal });
      if (response.ok) return response.text();
      const problem = (await response.json().catch(() => ({}))) as { code?: string; detail?: string };
      throw new ApiError(response.status, problem.code ?? 'UNKNOWN', problem.detail ?? 'The recording cannot be read.');
    },
    staleTime: shell.status === 'pending' ? 5000 : Number.POSITIVE_INFINITY,
    retry: (failures, error) => failures < 1 && !isGone(error),
  });
  if (recording.isPending) return <Loading rows={8} />;
  if (isGone(recording.error)) return <ContentsGone what="" why={recording.error.message.replace(/\.$/, '')} />;
  if (recording.isError) return <ErrorNote error={recording.error} retry={() => void recording.refetch()} />;
  return <Played cast={recording.data} shell={shell} commands={commands} />;
}

function Played({ cast: text, shell, commands }: { cast: string; shell: RecordedCommand; commands: readonly RecordedCommand[] }) {
  const frame = useRef<HTMLIFrameElement>(null);
  const [ready, setReady] = useState(false);
  const [find, setFind] = useState('');
  const cast = useMemo(() => readCast(text), [text]);
  const start = parseTime(shell.at).getTime();
  const lines = useMemo(
    () =>
      commands
        .filter(({ kind }) => kind === 'ssh-line')
        .map(command => ({ command, seconds: Math.max(0, (parseTime(command.at).getTime() - start) / 1000) })),
    [commands, start],
  );
  const markers = useMemo(
    (): Mark[] => [
      ...lines.map(({ command, seconds }) => ({
        seconds,
        label: `${command.decision === 'deny' ? 'denied: ' : ''}${command.text.slice(0, 80)}`,
      })),
      ...cast.marks.map(({ seconds, text: label }) => ({ seconds, label: label.slice(0, 80) })),
    ],
    [lines, cast.marks],
  );
  const say = (message: ToPlayer) => frame.current?.contentWindow?.postMessage(message, '*');
  useEffect(() => {
    const listen = (event: MessageEvent) => {
      if (event.source !== frame.current?.contentWindow) return;
      const message = event.data as FromPlayer;
      if (message.type === 'waiting')
        frame.current?.contentWindow?.postMessage({ type: 'load', cast: text, markers, dark: isDark() } satisfies ToPlayer, '*');
      else if (message.type === 'ready') setReady(true);
    };
    addEventListener('message', listen);
    return () => removeEventListener('message', listen);
  }, [text, markers]);
  const wanted = find.trim().toLowerCase();
  const hits = wanted === '' ? [] : cast.lines.filter(line => line.text.toLowerCase().includes(wanted)).slice(0, hitsMax);
  const jump = (seconds: number) => say({ type: 'seek', seconds: Math.max(0, seconds - 0.2) });
  return (
    <div className="recording">
      <iframe
        ref={frame}
        className="player"
        title="Terminal recording"
        src="/console/player.html"
        sandbox="allow-scripts"
        data-ready={ready}
      />
      <div className="recording-side col">
        <div className="row">
          <input
            className="input grow"
            type="search"
            aria-label="Find in what was shown"
            placeholder="Find in what was shown"
            value={find}
            onChange={event => setFind(event.target.value)}
          />
          <Button
            icon="download"
            aria-label="Save the recording"
            onClick={() => saveFile(`session-${shell.sessionId}.cast`, 'application/x-asciicast', text)}
          />
        </div>
        <ol className="jumps" aria-label={wanted === '' ? 'Lines that were typed' : 'Found'}>
          {wanted === ''
            ? lines.map(({ command, seconds }) => (
                <Jump key={command.seq} seconds={seconds} onJump={jump} denied={command.decision !== 'allow'} text={command.text} />
              ))
            : hits.map((hit, index) => <Jump key={index} seconds={hit.seconds} onJump={jump} text={hit.text} />)}
          {wanted !== '' && hits.length === 0 && <li className="softer">It was not shown.</li>}
        </ol>
      </div>
    </div>
  );
}

function Jump({
  seconds,
  onJump,
  text,
  denied = false,
}: {
  seconds: number;
  onJump: (seconds: number) => void;
  text: string;
  denied?: boolean;
}) {
  return (
    <li>
      <button type="button" onClick={() => onJump(seconds)}>
        <span className="softer num">{clock(seconds)}</span>
        <code className="truncate">
          <Untrusted text={text} />
        </code>
        {denied && <Badge tone="bad">denied</Badge>}
      </button>
    </li>
  );
}
