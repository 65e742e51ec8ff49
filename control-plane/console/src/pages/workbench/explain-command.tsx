/** One command, one person, one resource: what the policy in force decides, and everything that led to it. Nothing is run. */
import type { Explanation } from '@sallyport/shared/rehearsal/explanation.ts';
import { useQuery } from '@tanstack/react-query';
import { type FormEvent, Fragment, lazy, type ReactNode, Suspense, useState } from 'react';
import { api } from '../../api/client.ts';
import type { Resource } from '../../api/types.ts';
import { Badge, Empty, Loading, Note } from '../../ui/basics.tsx';
import { useShortcuts } from '../../ui/keyboard.ts';
import { Untrusted } from '../../ui/untrusted.tsx';

const Editor = lazy(() => import('../../ui/editor.tsx'));

export function ExplainCommand() {
  const resources = useQuery({
    queryKey: ['resources'],
    queryFn: ({ signal }) => api<{ resources: Resource[] }>('/v1/resources', { signal }),
    staleTime: 30_000,
  });
  const [text, setText] = useState('select name, email from customers');
  const [form, setForm] = useState({ resource: '', name: '', groups: '', kind: 'person' });
  const [busy, setBusy] = useState(false);
  const [answer, setAnswer] = useState<Explanation | null>(null);
  const [refused, setRefused] = useState('');
  const resource = form.resource || (resources.data?.resources[0]?.name ?? '');
  const explain = async () => {
    setBusy(true);
    setRefused('');
    try {
      const groups = form.groups.split(/[\s,]+/).filter(Boolean);
      const as = { name: form.name, kind: form.kind, ...(groups.length === 0 ? {} : { groups }) };
      setAnswer(await api<Explanation>('/v1/policy/explain', { method: 'POST', body: { resource, as, text } }));
    } catch (error) {
      setAnswer(null);
      setRefused(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  const ready = resource !== '' && form.name.trim() !== '' && text.trim() !== '';
  useShortcuts([{ keys: 'mod+Enter', label: 'Explain', run: () => void (ready && explain()), whileTyping: true }]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (ready) void explain();
  };
  return (
    <div className="bench">
      <form className="col" onSubmit={submit}>
        <div className="row wrap parameters">
          <div className="field">
            <label htmlFor="explain-resource">Resource</label>
            <select
              id="explain-resource"
              className="input"
              value={resource}
              onChange={event => setForm({ ...form, resource: event.target.value })}
            >
              {(resources.data?.resources ?? []).map(({ name }) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </div>
          <div className="field">
            <label htmlFor="explain-name">As</label>
            <input
              id="explain-name"
              className="input"
              placeholder="alice@example.com"
              value={form.name}
              onChange={event => setForm({ ...form, name: event.target.value })}
              autoComplete="off"
              spellCheck={false}
            />
          </div>
          <div className="field">
            <label htmlFor="explain-groups">Groups</label>
            <input
              id="explain-groups"
              className="input"
              placeholder="as in the last session"
              value={form.groups}
              onChange={event => setForm({ ...form, groups: event.target.value })}
              autoComplete="off"
              spellCheck={false}
            />
          </div>
          <div className="field">
            <label htmlFor="explain-kind">Kind</label>
            <select
              id="explain-kind"
              className="input"
              value={form.kind}
              onChange={event => setForm({ ...form, kind: event.target.value })}
            >
              <option value="person">person</option>
              <option value="workload">program</option>
            </select>
          </div>
        </div>
        <div className="bench-editor">
          <Suspense fallback={<Loading rows={4} />}>
            <Editor text={text} onChange={setText} language="sql" label="Command" />
          </Suspense>
        </div>
        <div className="row">
          <button type="submit" className="button primary" disabled={busy || !ready}>
            Explain <kbd className="only-wide">Ctrl ↵</kbd>
          </button>
          <span className="softer">Nothing is run.</span>
        </div>
      </form>
      <section className="col" aria-label="Explanation" style={{ gap: 14 }}>
        {refused !== '' && (
          <Note tone="bad">
            <Untrusted text={refused} />
          </Note>
        )}
        {answer === null && refused === '' ? (
          <Empty icon="flask" title="Ask why">
            <p>Who may come in, which rules match, what reaches each column of the answer, and what decides.</p>
          </Empty>
        ) : (
          answer && <Answer answer={answer} />
        )}
      </section>
    </div>
  );
}

const tones = { allow: 'good', deny: 'bad', hold: 'wait' } as const;

function Answer({ answer }: { answer: Explanation }) {
  const { admission, decision } = answer;
  return (
    <>
      <div className="card">
        <div className="body col">
          <div className="row wrap">
            <Badge tone={admission.admitted ? tones[decision.action] : 'bad'}>
              {admission.admitted ? { allow: 'allowed', deny: 'denied', hold: 'held' }[decision.action] : 'not admitted'}
            </Badge>
            <strong>
              <Untrusted text={admission.admitted ? decision.rule : admission.code} />
            </strong>
          </div>
          <p>
            <Untrusted text={admission.admitted ? decision.reason : admission.reason} />
          </p>
          {decision.action !== 'allow' && admission.admitted && (
            <p className="soft">
              “<Untrusted text={decision.message} />”
            </p>
          )}
        </div>
      </div>
      {answer.limits.map(({ code, detail }) => (
        <Note key={code} tone="wait">
          <Untrusted text={detail} />
        </Note>
      ))}
      <Facts answer={answer} />
      {answer.columns !== null && answer.columns.length > 0 && (
        <section className="col">
          <h2>The answer’s columns</h2>
          <table className="table">
            <tbody>
              {answer.columns.map((column, index) => (
                <tr key={index}>
                  <td>
                    <code>
                      <Untrusted text={column.name} />
                    </code>
                  </td>
                  <td>
                    <Badge tone={column.outcome === 'clear' ? 'good' : column.outcome === 'masked' ? 'mask' : 'bad'}>
                      {column.outcome === 'masked' ? `masked: ${column.whole ? 'whole' : column.mask}` : column.outcome}
                    </Badge>
                  </td>
                  <td className="soft">
                    <Untrusted text={column.labels.join(', ')} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      {answer.sinks.map(({ kind, detail }) => (
        <Note key={`${kind} ${detail}`} tone="bad">
          A protected value would go into <Untrusted text={`${kind} ${detail}`} />.
        </Note>
      ))}
      {answer.rules.length > 0 && (
        <section className="col">
          <h2>Rules</h2>
          <table className="table">
            <tbody>
              {answer.rules.map(rule => (
                <tr key={rule.rule}>
                  <td>
                    <Untrusted text={rule.rule} />
                  </td>
                  <td>
                    <Badge tone={rule.matches && rule.condition !== false ? tones[rule.action] : undefined}>{rule.action}</Badge>
                  </td>
                  <td className="soft">
                    {rule.matches
                      ? rule.condition === null
                        ? 'matches'
                        : rule.condition === 'error'
                          ? 'matches; its condition fails, which counts as true'
                          : rule.condition
                            ? 'matches, and its condition holds'
                            : 'matches, but its condition does not hold'
                      : 'does not match'}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </>
  );
}

function Facts({ answer }: { answer: Explanation }) {
  const { facts, admission } = answer;
  const rows: [string, ReactNode][] = [];
  if (admission.admitted) rows.push(['Role', <Untrusted key="role" text={admission.role} />]);
  rows.push(['Groups', <Untrusted key="groups" text={answer.as.groups.join(', ') || 'none'} />]);
  if (answer.statements.length > 0)
    rows.push(['Statements', <Untrusted key="s" text={answer.statements.map(({ kind }) => kind).join(', ')} />]);
  if (facts.objects.length > 0) rows.push(['Objects', <Untrusted key="o" text={facts.objects.join(', ')} />]);
  if (answer.detectors.names.length > 0) rows.push(['Looked for', <Untrusted key="d" text={several(answer.detectors.names)} />]);
  if (answer.exemptFrom.length > 0) rows.push(['Exempt from', <Untrusted key="e" text={answer.exemptFrom.join(', ')} />]);
  for (const { column, kind, action } of answer.inferences)
    rows.push(['Infers', <Untrusted key={column} text={`${column} by ${kind}: ${action}`} />]);
  return (
    <dl className="facts">
      {rows.map(([name, value], index) => (
        <Fragment key={index}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </Fragment>
      ))}
    </dl>
  );
}

const namesShownMax = 8;

function several(names: readonly string[]): string {
  const shown = names.slice(0, namesShownMax).join(', ');
  return names.length > namesShownMax ? `${shown} and ${names.length - namesShownMax} more` : shown;
}
