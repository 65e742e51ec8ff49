/** The auditors' questions as reports: parameters, chart, table, export. */
import { useQuery } from '@tanstack/react-query';
import { useNavigate, useParams, useSearch } from '@tanstack/react-router';
import type { FormEvent } from 'react';
import { ApiError, api } from '../api/client.ts';
import { Badge, Button, Empty, ErrorNote, Loading, Note, Page } from '../ui/basics.tsx';
import { Bars } from '../ui/chart.tsx';
import { number, Time, timeText } from '../ui/format.tsx';
import { Menu } from '../ui/menu.tsx';
import { csv, saveFile } from '../ui/saved-file.ts';
import { Untrusted } from '../ui/untrusted.tsx';
import { EvidenceTabs } from './custody/evidence-tabs.tsx';

interface Question {
  name: string;
  title: string;
  description: string;
  controls: Record<string, string[]>;
  parameters: { name: string; what: string; required: boolean; absent: string }[];
  emptyIsGood: boolean;
  chart: { kind: 'bar' | 'line'; x: string; y: string } | null;
}

interface Answer {
  askedAt: string;
  parameters: Record<string, string>;
  columns: { name: string; type: string }[];
  rows: unknown[][];
  truncated: boolean;
}

const rowsMax = 1000;

export function EvidencePage() {
  const { name } = useParams({ strict: false });
  const questions = useQuery({
    queryKey: ['questions'],
    queryFn: ({ signal }) => api<{ questions: Question[] }>('/v1/evidence/questions', { signal }),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const navigate = useNavigate();
  const list = questions.data?.questions ?? [];
  const question = list.find(each => each.name === name);
  return (
    <Page
      title={
        <span className="row">
          {name !== undefined && (
            <Button
              look="quiet"
              icon="back"
              aria-label="Back to the questions"
              className="only-narrow"
              onClick={() => void navigate({ to: '/evidence' })}
            />
          )}
          Evidence
        </span>
      }
      actions={<EvidenceTabs view="reports" />}
    >
      {questions.isPending && <Loading />}
      {questions.isError && <ErrorNote error={questions.error} retry={() => void questions.refetch()} />}
      {questions.isSuccess && (
        <div className="split" data-detail={name !== undefined}>
          <nav className="list" aria-label="Questions">
            {list.map(each => (
              <button
                key={each.name}
                type="button"
                className="item"
                aria-current={each.name === name}
                onClick={() => void navigate({ to: '/evidence/$name', params: { name: each.name } })}
              >
                {each.title}
              </button>
            ))}
          </nav>
          <div className="detail">
            {question === undefined ? (
              <Empty icon="seal" title="Ask the evidence">
                <p>
                  {list.length} questions that auditors ask, each with the controls that its answer speaks to. Every answer is read from the
                  records, and can be exported with the proof that it is complete.
                </p>
              </Empty>
            ) : (
              <Report key={question.name} question={question} />
            )}
          </div>
        </div>
      )}
    </Page>
  );
}

function Report({ question }: { question: Question }) {
  const given = useSearch({ strict: false }) as Record<string, string | undefined>;
  const navigate = useNavigate();
  const parameters = Object.fromEntries(question.parameters.flatMap(({ name }) => (given[name] ? [[name, given[name]]] : [])));
  const missing = question.parameters.filter(({ name, required }) => required && !given[name]);
  const answer = useQuery({
    queryKey: ['question', question.name, parameters],
    queryFn: ({ signal }) =>
      api<Answer>(`/v1/evidence/questions/${question.name}`, { method: 'POST', body: { parameters, limit: rowsMax }, signal }),
    enabled: missing.length === 0,
    staleTime: 60_000,
    retry: false,
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const values = Object.fromEntries(
      [...new FormData(event.currentTarget)].flatMap(([name, value]) => (value === '' ? [] : [[name, String(value)]])),
    );
    void navigate({ to: '/evidence/$name', params: { name: question.name }, search: values, replace: true });
  };
  return (
    <div className="pad col" style={{ gap: 14 }}>
      <div className="col" style={{ gap: 4 }}>
        <h1>{question.title}</h1>
        <p className="soft">{question.description}</p>
        <div className="row wrap" style={{ gap: 4 }}>
          {Object.entries(question.controls).flatMap(([framework, ids]) =>
            ids.map(id => (
              <Badge key={`${framework} ${id}`}>
                {framework} {id}
              </Badge>
            )),
          )}
        </div>
      </div>
      <form className="row wrap parameters" onSubmit={submit}>
        {question.parameters.map(({ name, what, required, absent }) => (
          <div key={name} className="field">
            <label htmlFor={`parameter-${name}`}>{name}</label>
            <input
              id={`parameter-${name}`}
              name={name}
              className="input mono"
              defaultValue={given[name] ?? ''}
              placeholder={required ? '' : absent}
              required={required}
              title={what}
              autoComplete="off"
              spellCheck={false}
            />
          </div>
        ))}
        <button type="submit" className="button primary">
          Ask
        </button>
      </form>
      {missing.length > 0 && <Note>Wanted: {missing.map(({ name, what }) => `${name}, ${what}`).join('; ')}.</Note>}
      {answer.isLoading && <Loading />}
      {answer.isError && (
        <ErrorNote
          error={answer.error}
          {...(answer.error instanceof ApiError && answer.error.status < 500 ? {} : { retry: () => void answer.refetch() })}
        />
      )}
      {answer.data && missing.length === 0 && <Result question={question} answer={answer.data} />}
    </div>
  );
}

function Result({ question, answer }: { question: Question; answer: Answer }) {
  const { columns, rows, truncated } = answer;
  const at = (name: string) => columns.findIndex(column => column.name === name);
  const { chart } = question;
  const bars =
    chart !== null && at(chart.x) >= 0 && at(chart.y) >= 0
      ? [...Map.groupBy(rows, row => String(row[at(chart.x)] ?? ''))].map(([name, group]) => ({
          name,
          value: group.reduce((sum, row) => sum + Number(row[at(chart.y)] ?? 0), 0),
        }))
      : [];
  const save = (form: 'csv' | 'json') =>
    form === 'csv'
      ? saveFile(
          `sallyport-${question.name}.csv`,
          'text/csv',
          csv(
            columns.map(({ name }) => name),
            rows.map(row => row.map(plain)),
          ),
        )
      : saveFile(`sallyport-${question.name}.json`, 'application/json', JSON.stringify({ question: question.name, ...answer }, null, 2));
  if (rows.length === 0) {
    return question.emptyIsGood ? (
      <Note tone="good">Nothing found, which is what one hopes for.</Note>
    ) : (
      <Empty icon="search" title="Nothing in this period" />
    );
  }
  return (
    <>
      {question.emptyIsGood && <Note tone="wait">Each row is a finding.</Note>}
      {bars.length > 1 && <Bars label={`${chart?.y} by ${chart?.x}`} rows={bars} />}
      <div className="row spread">
        <span className="softer">
          {number(rows.length)} {rows.length === 1 ? 'row' : 'rows'}
          {truncated && ', and more: narrow the question, or use sallyport evidence query'} · asked <Time at={answer.askedAt} />
        </span>
        <Menu label="Save the answer" icon="download">
          <button type="button" onClick={() => save('csv')}>
            CSV
          </button>
          <button type="button" onClick={() => save('json')}>
            JSON
          </button>
        </Menu>
      </div>
      <div className="scroll answer report" tabIndex={0} role="region" aria-label="Answer">
        <table className="table">
          <thead>
            <tr>
              {columns.map(({ name }) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row, index) => (
              <tr key={index}>
                {row.map((value, column) => (
                  <td key={column} className={typeof value === 'number' ? 'num' : undefined}>
                    <Cell value={value} type={columns[column]?.type ?? ''} />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function Cell({ value, type }: { value: unknown; type: string }) {
  if (value === null) return <span className="null">–</span>;
  if (typeof value === 'number') return number(value);
  if (Array.isArray(value)) return <Untrusted text={value.map(String).join(', ')} />;
  const text = plain(value);
  return /Date/.test(type) ? <span title={String(text)}>{timeText(String(text))}</span> : <Untrusted text={String(text)} />;
}

function plain(value: unknown): string | number | null {
  if (value === null || typeof value === 'number' || typeof value === 'string') return value;
  return Array.isArray(value) ? value.map(String).join(' ') : JSON.stringify(value);
}
