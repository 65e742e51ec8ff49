/** Recorded traffic under a proposed policy: what would newly be denied, held, masked or allowed; and, if that is right, applying it. */
import type { ReplayExample, ReplayReport } from '@sallyport/shared/rehearsal/replay-report.ts';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useEffect, useRef, useState } from 'react';
import { ApiError, api, authorization } from '../../api/client.ts';
import { may, useMe } from '../../api/me.ts';
import { Badge, Button, Loading, Note } from '../../ui/basics.tsx';
import { DataTable } from '../../ui/data-table.tsx';
import { number } from '../../ui/format.tsx';
import { Sql } from '../../ui/sql.tsx';
import { Untrusted } from '../../ui/untrusted.tsx';
import { ManifestEditor } from '../policies/manifest-editor.tsx';
import { manifestText } from '../policies/manifest-text.ts';
import type { ManifestDocument } from '../policies/policies.tsx';
import { Who } from '../sessions/columns.tsx';

const editable = ['Guard', 'DataPolicy', 'Role'] as const;
const tones = { denied: 'bad', held: 'wait', masked: 'mask', unmasked: 'bad', allowed: 'good' } as const;

const template = `apiVersion: sallyport.dev/v1
kind: Guard
metadata: { name: proposal }
spec:
  resources: {}
  rules:
    - name: no-deletes
      match: { statements: [delete] }
      action: deny
      message: Deletes go through the application.
`;

export function SimulatePolicy() {
  const me = useMe();
  const [start, setStart] = useState({ text: template, serial: 0 });
  const manifests = useQuery({
    queryKey: ['manifests', 'editable'],
    queryFn: async ({ signal }) =>
      (
        await Promise.all(editable.map(kind => api<{ manifests: ManifestDocument[] }>(`/v1/manifests/${kind}?limit=1000`, { signal })))
      ).flatMap(answer => answer.manifests),
  });
  return (
    <>
      <div className="row wrap session-bar">
        <label htmlFor="start-from" className="softer">
          Start from
        </label>
        <select
          id="start-from"
          className="input"
          style={{ width: 260 }}
          defaultValue=""
          onChange={event => {
            const chosen = manifests.data?.[Number(event.target.value)];
            setStart({
              text: event.target.value === '' || chosen === undefined ? template : manifestText(chosen),
              serial: start.serial + 1,
            });
          }}
        >
          <option value="">a new guard</option>
          {(manifests.data ?? []).map(({ kind, metadata }, index) => (
            <option key={`${kind} ${metadata.name}`} value={index}>
              {kind} {metadata.name}
            </option>
          ))}
        </select>
      </div>
      <ManifestEditor
        key={start.serial}
        kind="Guard"
        text={start.text}
        mayApply={may(me.data, 'admin')}
        mayEdit
        note=""
        isNew
        extra={text => <Replay text={text} />}
        onApplied={() => {}}
      />
    </>
  );
}

type State =
  | { at: 'idle' }
  | { at: 'running'; done: number; total: number }
  | { at: 'done'; report: ReplayReport; text: string }
  | { at: 'failed'; message: string };

function Replay({ text }: { text: string }) {
  const [since, setSince] = useState('7d');
  const [state, setState] = useState<State>({ at: 'idle' });
  const running = useRef<AbortController>(null);
  useEffect(() => () => running.current?.abort(), []);
  const run = async () => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    setState({ at: 'running', done: 0, total: 0 });
    try {
      const report = await replay(text, since, controller.signal, (done, total) => setState({ at: 'running', done, total }));
      setState({ at: 'done', report, text });
    } catch (error) {
      if (!controller.signal.aborted) setState({ at: 'failed', message: error instanceof Error ? error.message : String(error) });
    }
  };
  return (
    <section className="col" aria-label="Replay">
      <div className="row">
        <select className="input" aria-label="Period" style={{ width: 130 }} value={since} onChange={event => setSince(event.target.value)}>
          <option value="1h">the last hour</option>
          <option value="1d">the last day</option>
          <option value="7d">the last week</option>
          <option value="30d">the last 30 days</option>
        </select>
        <Button look="primary" icon="play" onClick={() => void run()} disabled={state.at === 'running'}>
          Replay
        </Button>
      </div>
      {state.at === 'running' &&
        (state.total > 0 ? (
          <div className="bar-line" role="progressbar" aria-label="Replay" aria-valuenow={state.done} aria-valuemax={state.total}>
            <span style={{ width: `${(state.done / state.total) * 100}%` }} />
          </div>
        ) : (
          <Loading rows={3} />
        ))}
      {state.at === 'failed' && (
        <Note tone="bad">
          <Untrusted text={state.message} />
        </Note>
      )}
      {state.at === 'done' && (
        <>
          {state.text !== text && <Note tone="wait">The text has changed since: replay it again.</Note>}
          <ReplayResult report={state.report} />
        </>
      )}
    </section>
  );
}

/** What a replay comes to. */
export function ReplayResult({ report }: { report: ReplayReport }) {
  return (
    <div className="col" style={{ gap: 12 }}>
      <p>
        Of {number(report.commands)} recorded commands {number(report.changed)} would be decided otherwise
        {report.undecidedCommands > 0 && `; of ${number(report.undecidedCommands)} it cannot be said`}.
      </p>
      <div className="row wrap" style={{ gap: 4 }}>
        {(Object.keys(tones) as (keyof typeof tones)[])
          .filter(change => report.totals[change] > 0)
          .map(change => (
            <Badge key={change} tone={tones[change]}>
              {number(report.totals[change])} newly {change}
            </Badge>
          ))}
      </div>
      {report.principals.length > 0 && <ByPrincipal report={report} />}
      {report.changes.map(group => (
        <details key={`${group.change} ${group.rule}`} className="card">
          <summary className="row wrap">
            <Badge tone={tones[group.change]}>{group.change}</Badge>
            <span className="grow truncate">
              <Untrusted text={group.rule} />
            </span>
            <span className="num">{number(group.commands)}</span>
          </summary>
          <div className="body col">
            <p className="soft">
              {group.principals.map(({ name, commands }, index) => (
                <span key={name}>
                  {index > 0 && ', '}
                  <Untrusted text={name} /> {number(commands)}
                </span>
              ))}
            </p>
            {group.columns.length > 0 && (
              <p className="soft">
                <Untrusted text={group.columns.join(', ')} />
              </p>
            )}
            <Examples examples={group.examples} />
          </div>
        </details>
      ))}
      {report.undecided.map(group => (
        <details key={group.code} className="card">
          <summary className="row">
            <Badge>{group.code}</Badge>
            <span className="grow" />
            <span className="num">{number(group.commands)}</span>
          </summary>
          <div className="body">
            <Examples examples={group.examples} />
          </div>
        </details>
      ))}
    </div>
  );
}

/** For whom what would change; the API bounds how many. */
function ByPrincipal({ report }: { report: ReplayReport }) {
  const changes = (Object.keys(tones) as (keyof typeof tones)[]).filter(change => report.totals[change] > 0);
  return (
    <DataTable
      label="For whom it would change"
      rows={report.principals}
      keyOf={({ kind, name }) => `${kind} ${name}`}
      columns={[
        { title: 'Who', cell: ({ name, kind }) => <Who name={name} kind={kind} /> },
        ...changes.map(change => ({
          title: `newly ${change}`,
          right: true,
          cell: (row: ReplayReport['principals'][number]) =>
            row[change] === 0 ? <span className="softer">0</span> : <Badge tone={tones[change]}>{number(row[change])}</Badge>,
        })),
      ]}
    />
  );
}

function Examples({ examples }: { examples: readonly ReplayExample[] }) {
  return (
    <ul className="col">
      {examples.map(example => (
        <li key={`${example.sessionId} ${example.seq}`} className="col" style={{ gap: 2 }}>
          <Link to="/sessions/$id" params={{ id: example.sessionId }} search={{ seq: String(example.seq) }}>
            <Sql text={example.text} line />
          </Link>
          <span className="softer">
            <Untrusted text={`${example.principal}: ${example.reason}`} />
          </span>
        </li>
      ))}
    </ul>
  );
}

/** @throws {ApiError} also when the replay breaks off half-way. */
async function replay(
  text: string,
  since: string,
  signal: AbortSignal,
  onProgress: (done: number, total: number) => void,
): Promise<ReplayReport> {
  const response = await fetch('/v1/policy/simulate', {
    method: 'POST',
    headers: { ...authorization('POST'), 'content-type': 'application/json', accept: 'application/x-ndjson' },
    body: JSON.stringify({ manifests: [{ file: 'console.yaml', text }], since }),
    cache: 'no-store',
    signal,
  });
  const reader = (response.body ?? new ReadableStream<Uint8Array>())
    .pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>)
    .getReader();
  let rest = '';
  const refusal = (problem: { code?: string; detail?: string; problems?: { line: number; message: string }[] }) => {
    const places = (problem.problems ?? []).map(({ line, message }) => `line ${line}: ${message}`);
    return new ApiError(
      response.status,
      problem.code ?? 'UNKNOWN',
      places.length > 0 ? places.join('; ') : (problem.detail ?? response.statusText),
    );
  };
  for (;;) {
    const { value, done } = await reader.read();
    rest += value ?? '';
    if (!response.ok) {
      if (!done) continue;
      throw refusal(JSON.parse(rest || '{}') as object);
    }
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const said = JSON.parse(line) as { progress?: { done: number; total: number }; report?: ReplayReport; problem?: object };
      if (said.progress) onProgress(said.progress.done, said.progress.total);
      if (said.problem) throw refusal(said.problem);
      if (said.report) return said.report;
    }
    if (done) throw new ApiError(0, 'CUT', 'The replay broke off. Try it again.');
  }
}
