/** Whether the evidence of a session is whole: found out here, in this browser. */
import { useEffect, useRef, useState } from 'react';
import type { Session } from '../../api/types.ts';
import type { Verified } from '../../proof/verify-evidence.ts';
import { Badge, Button, Note } from '../../ui/basics.tsx';
import { number, Time } from '../../ui/format.tsx';
import { useShortcuts } from '../../ui/keyboard.ts';
import { saveFile } from '../../ui/saved-file.ts';
import { Untrusted } from '../../ui/untrusted.tsx';

type State =
  | { at: 'unknown' }
  | { at: 'verifying'; lines: number }
  | { at: 'done'; verified: Verified }
  | { at: 'failed'; message: string };

const findingsShownMax = 20;

export function EvidenceStatus({ session }: { session: Session }) {
  const [state, setState] = useState<State>({ at: 'unknown' });
  const running = useRef<AbortController>(null);
  useEffect(() => () => running.current?.abort(), []);
  const verify = async () => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    setState({ at: 'verifying', lines: 0 });
    try {
      const { verifyEvidence } = await import('../../proof/verify-evidence.ts');
      const verified = await verifyEvidence(
        { session: session.sessionId },
        lines => setState({ at: 'verifying', lines }),
        controller.signal,
      );
      setState({ at: 'done', verified });
    } catch (error) {
      if (!controller.signal.aborted) setState({ at: 'failed', message: error instanceof Error ? error.message : String(error) });
    }
  };
  useShortcuts([{ keys: 'v', label: 'Verify the evidence', run: () => void verify() }]);
  return (
    <section className="col" aria-label="Evidence">
      <h2 className="row spread">
        Evidence <StatusBadge state={state} />
      </h2>
      {state.at === 'unknown' && <p className="softer">Not verified here yet.</p>}
      {state.at === 'verifying' && (
        <p className="softer" role="status">
          Verifying{state.lines > 0 ? `: ${number(state.lines)} lines` : ' …'}
        </p>
      )}
      {state.at === 'failed' && (
        <Note tone="bad">
          <Untrusted text={state.message} />
        </Note>
      )}
      {state.at === 'done' && <VerifiedResult verified={state.verified} />}
      <div className="row wrap">
        <Button icon="seal" onClick={() => void verify()} disabled={state.at === 'verifying'}>
          Verify now <kbd>V</kbd>
        </Button>
        {state.at === 'done' && (
          <Button
            look="quiet"
            icon="download"
            onClick={() => saveFile(`session-${session.sessionId}.evidence.gz`, 'application/gzip', state.verified.file)}
          >
            Keep the file
          </Button>
        )}
      </div>
    </section>
  );
}

function isPending({ report }: Verified): boolean {
  return report.notes.some(({ code }) => code === 'NOT_YET_COVERED');
}

function StatusBadge({ state }: { state: State }) {
  if (state.at !== 'done') return null;
  const { verified } = state;
  if (!verified.report.ok || verified.key.status === 'changed') return <Badge tone="bad">broken</Badge>;
  return isPending(verified) ? <Badge tone="wait">pending</Badge> : <Badge tone="good">verified</Badge>;
}

export function VerifiedResult({ verified: { report, key } }: { verified: Verified }) {
  const { counts, findings, more, notes, treeHead } = report;
  return (
    <div className="col" style={{ gap: 6 }}>
      {key.status === 'changed' && (
        <Note tone="bad">
          The control plane signs with another key than the one that this browser knows. Ask why before you believe it.
        </Note>
      )}
      {findings.slice(0, findingsShownMax).map((finding, index) => (
        <Note key={index} tone="bad">
          <code>{finding.code}</code> <Untrusted text={finding.message} />
        </Note>
      ))}
      {findings.length + more > findingsShownMax && <span className="softer">and {findings.length + more - findingsShownMax} more</span>}
      {report.ok && (
        <p className="soft">
          {number(counts.records)} records, none missing, none changed; {number(counts.checkpoints)} signed checkpoints of agents,{' '}
          {number(counts.entries)} entries of the control log.
        </p>
      )}
      {treeHead && (
        <p className="softer">
          The log stood at {number(treeHead.size)} entries, signed <Time at={treeHead.at} />.{' '}
          {key.status === 'first'
            ? 'The key was seen here for the first time; from now on it has to stay the same.'
            : 'The key is the one known here.'}
        </p>
      )}
      {notes
        .filter(({ code }) => code !== 'KEY_NOT_PINNED' && code !== 'WITHHELD')
        .map((note, index) => (
          <p key={index} className="softer">
            <Untrusted text={note.message} />
          </p>
        ))}
    </div>
  );
}
