/** Evidence of a session, a person, a resource or a period, as the file that anybody can verify; verified here on the way. */
import { useNavigate, useSearch } from '@tanstack/react-router';
import { type FormEvent, useEffect, useRef, useState } from 'react';
import type { Scope, Verified } from '../../proof/verify-evidence.ts';
import { Button, Card, Note, Paste } from '../../ui/basics.tsx';
import { bytes, number } from '../../ui/format.tsx';
import { saveFile } from '../../ui/saved-file.ts';
import { Untrusted } from '../../ui/untrusted.tsx';
import { VerifiedResult } from '../session/evidence-status.tsx';

type State = { at: 'idle' } | { at: 'reading'; lines: number } | { at: 'done'; verified: Verified } | { at: 'failed'; message: string };

const fields = [
  { name: 'person', label: 'Person or workload', hint: '' },
  { name: 'resource', label: 'Resource', hint: '' },
  { name: 'session', label: 'Session', hint: '' },
  { name: 'from', label: 'From', hint: '2026-04-01T00:00:00Z' },
  { name: 'to', label: 'To', hint: 'now' },
] as const;
const fileName = 'sallyport-evidence.gz';

export function ExportEvidence() {
  const given = useSearch({ from: '/custody' });
  const navigate = useNavigate();
  const [state, setState] = useState<State>({ at: 'idle' });
  const running = useRef<AbortController>(null);
  useEffect(() => () => running.current?.abort(), []);
  const run = async (scope: Scope) => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    setState({ at: 'reading', lines: 0 });
    try {
      const { verifyEvidence } = await import('../../proof/verify-evidence.ts');
      const verified = await verifyEvidence(scope, lines => setState({ at: 'reading', lines }), controller.signal);
      setState({ at: 'done', verified });
    } catch (error) {
      if (!controller.signal.aborted) setState({ at: 'failed', message: error instanceof Error ? error.message : String(error) });
    }
  };
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const scope: Scope = Object.fromEntries(
      [...new FormData(event.currentTarget)].flatMap(([name, value]) =>
        String(value).trim() === '' ? [] : [[name, String(value).trim()]],
      ),
    );
    void navigate({ to: '/custody', search: { view: 'export', ...scope }, replace: true });
    void run(scope);
  };
  return (
    <Card title="Take evidence away">
      <div className="col" style={{ gap: 14 }}>
        <p className="soft">
          The records that match all that is given, each with the proof that none is missing and none was changed. With nothing given:
          everything.
        </p>
        <form className="row wrap parameters" onSubmit={submit}>
          {fields.map(({ name, label, hint }) => (
            <div key={name} className="field">
              <label htmlFor={`export-${name}`}>{label}</label>
              <input
                id={`export-${name}`}
                name={name}
                className="input mono"
                defaultValue={given[name] ?? ''}
                placeholder={hint}
                autoComplete="off"
                spellCheck={false}
              />
            </div>
          ))}
          <button type="submit" className="button primary" disabled={state.at === 'reading'}>
            Export and verify
          </button>
        </form>
        {state.at === 'reading' && (
          <p className="soft" role="status">
            Reading and verifying{state.lines > 0 ? `: ${number(state.lines)} lines` : ' …'}
          </p>
        )}
        {state.at === 'failed' && (
          <Note tone="bad">
            <Untrusted text={state.message} />
          </Note>
        )}
        {state.at === 'done' && (
          <>
            {state.verified.report.ok && state.verified.key.status !== 'changed' && (
              <Note tone="good">Verified in this browser: complete and unchanged.</Note>
            )}
            <VerifiedResult verified={state.verified} />
            <div className="row wrap">
              <Button icon="download" onClick={() => saveFile(fileName, 'application/gzip', state.verified.file)}>
                Save the file ({bytes(state.verified.file.size)})
              </Button>
            </div>
            <p className="soft">Whoever gets it verifies it anywhere, with the key that they have from you:</p>
            <Paste text={`sallyport evidence verify ${fileName} --key ${state.verified.key.text}`} />
          </>
        )}
      </div>
    </Card>
  );
}
