/**
 * Editing manifests: checked as they are typed by the schema that the control plane uses, then rehearsed there, then applied as they
 * were rehearsed or not at all.
 */
import { parseManifests } from '@sallyport/shared/policy/manifests.ts';
import type { Kind } from '@sallyport/shared/policy/model.ts';
import { useNavigate } from '@tanstack/react-router';
import { type FormEvent, lazy, type ReactNode, Suspense, useMemo, useState } from 'react';
import { ApiError, api } from '../../api/client.ts';
import { Badge, Button, Loading, Note } from '../../ui/basics.tsx';
import { useShortcuts } from '../../ui/keyboard.ts';
import { toast } from '../../ui/toast.tsx';
import { Untrusted } from '../../ui/untrusted.tsx';
import { completeManifest } from './complete-manifest.ts';
import { Differences, type FieldChange } from './differences.tsx';

const Editor = lazy(() => import('../../ui/editor.tsx'));

export interface Rehearsal {
  changes: { kind: Kind; name: string; change: 'created' | 'configured' | 'unchanged' | 'deleted'; diff: FieldChange[] }[];
  warnings: { line: number; message: string }[];
  etag?: string;
}

const file = 'console.yaml';

export function ManifestEditor({
  kind,
  text: start,
  mayApply,
  note,
  isNew = false,
  mayEdit = mayApply,
  extra,
  onApplied,
}: {
  kind: Kind;
  text: string;
  mayApply: boolean;
  note: string;
  isNew?: boolean;
  /** To try what one may not apply. */
  mayEdit?: boolean;
  /** What else can be done with the text. */
  extra?: (text: string) => ReactNode;
  onApplied: (name: string) => void;
}) {
  const [text, setText] = useState(start);
  const [rehearsal, setRehearsal] = useState<Rehearsal | null>(null);
  const [refused, setRefused] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const navigate = useNavigate();
  const mistakes = useMemo(() => check(text), [text]);
  const complete = useMemo(() => completeManifest(kind), [kind]);
  const changed = isNew || text !== start;
  const call = async (body: object, headers: Record<string, string> = {}) =>
    api<Rehearsal>('/v1/apply', { method: 'POST', body: { manifests: [{ file, text }], ...body }, headers });
  const attempt = async (work: () => Promise<void>) => {
    setBusy(true);
    setRefused(null);
    try {
      await work();
    } catch (error) {
      setRefused(error instanceof ApiError ? error : new ApiError(0, '', String(error)));
    } finally {
      setBusy(false);
    }
  };
  const rehearse = () => attempt(async () => setRehearsal(await call({ dryRun: true })));
  const apply = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const reason = String(new FormData(event.currentTarget).get('reason') ?? '').trim();
    void attempt(async () => {
      const { changes } = await call(reason === '' ? {} : { reason }, rehearsal?.etag === undefined ? {} : { 'if-match': rehearsal.etag });
      toast('Applied. Agents follow within a second.');
      setRehearsal(null);
      onApplied(changes[0]?.name ?? '');
    });
  };
  const propose = (reason: string) =>
    void attempt(async () => {
      const { id } = await api<{ id: string }>('/v1/changes', { method: 'POST', body: { manifests: [{ file, text }], reason } });
      toast('Proposed. Somebody else has to approve it.');
      void navigate({ to: '/changes/$id', params: { id } });
    });
  useShortcuts(mayApply ? [{ keys: 'mod+Enter', label: 'See what would change', run: () => void rehearse(), whileTyping: true }] : []);
  return (
    <div className="manifest">
      <div className="manifest-editor">
        <Suspense fallback={<Loading rows={12} />}>
          <Editor
            text={text}
            onChange={next => {
              setText(next);
              setRehearsal(null);
            }}
            language="yaml"
            label={`${kind} as YAML`}
            readOnly={!mayEdit}
            complete={complete}
            check={check}
          />
        </Suspense>
      </div>
      <div className="manifest-side col">
        {note !== '' && <Note>{note}</Note>}
        {!mayApply && <Note>To change it needs the role admin.</Note>}
        {mistakes.map(({ line, message }) => (
          <Note key={`${line} ${message}`} tone="bad">
            line {line}: <Untrusted text={message} />
          </Note>
        ))}
        {refused !== null && (
          <Note tone="bad">
            {refused.problems.length > 0 ? (
              refused.problems.map(({ line, message }) => (
                <div key={`${line} ${message}`}>
                  line {line}: <Untrusted text={message} />
                </div>
              ))
            ) : (
              <Untrusted text={refused.message} />
            )}
          </Note>
        )}
        {rehearsal !== null && (
          <form className="col" onSubmit={apply}>
            {rehearsal.changes.map(change => (
              <div key={`${change.kind} ${change.name}`} className="col" style={{ gap: 4 }}>
                <div className="row">
                  <Badge tone={change.change === 'unchanged' ? undefined : 'info'}>{change.change}</Badge>
                  {change.kind} <Untrusted text={change.name} />
                </div>
                <Differences changes={change.diff} />
              </div>
            ))}
            {rehearsal.warnings.map(({ line, message }) => (
              <Note key={`${line} ${message}`} tone="wait">
                line {line}: <Untrusted text={message} />
              </Note>
            ))}
            {rehearsal.changes.some(({ change }) => change !== 'unchanged') && (
              <>
                <div className="field">
                  <label htmlFor="apply-reason">Reason</label>
                  <input id="apply-reason" name="reason" className="input" maxLength={500} autoComplete="off" />
                </div>
                {refused?.code === 'CHANGE_NEEDS_REVIEW' ? (
                  <button
                    type="button"
                    className="button primary"
                    disabled={busy}
                    onClick={event => {
                      const reason = event.currentTarget.form?.elements.namedItem('reason');
                      if (!(reason instanceof HTMLInputElement)) return;
                      if (reason.value.trim() === '') reason.focus();
                      else propose(reason.value.trim());
                    }}
                  >
                    Propose it
                  </button>
                ) : (
                  <button type="submit" className="button primary" disabled={busy}>
                    Apply
                  </button>
                )}
              </>
            )}
          </form>
        )}
        {extra?.(text)}
        {mayApply && rehearsal === null && (
          <Button onClick={() => void rehearse()} disabled={busy || mistakes.length > 0 || !changed}>
            See what would change <kbd className="only-wide">Ctrl ↵</kbd>
          </Button>
        )}
      </div>
    </div>
  );
}

/** References to other manifests are for the control plane to judge, which knows them; files are nowhere that it could read them. */
function check(text: string) {
  return parseManifests([{ path: file, text }], { existing: 'unknown' }).problems;
}
