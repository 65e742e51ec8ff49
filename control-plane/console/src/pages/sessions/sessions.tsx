/** The lists of sessions and of commands: what is typed is asked as it is typed, and the address holds the whole view. */
import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from 'react';
import { api, withQuery } from '../../api/client.ts';
import { useIsLive } from '../../api/events.ts';
import type { RecordedCommand, Resource, Session } from '../../api/types.ts';
import { Button, Empty, ErrorNote, Loading, Page } from '../../ui/basics.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { Icon } from '../../ui/icon.tsx';
import { Menu } from '../../ui/menu.tsx';
import { useNarrow } from '../../ui/narrow.ts';
import { QueryBar, queryMistake } from '../../ui/query-bar.tsx';
import { type Column, ResultList, type ResultListHandle } from '../../ui/result-list.tsx';
import { csv, saveFile } from '../../ui/saved-file.ts';
import { toast } from '../../ui/toast.tsx';
import { Untrusted } from '../../ui/untrusted.tsx';
import { commandColumns, commandColumnsShown, sessionColumns, sessionColumnsShown } from './columns.tsx';
import { useSavedViews } from './saved-views.ts';

type ListName = 'sessions' | 'commands';

interface ListPage<Row> {
  rows: Row[];
  next?: string;
}

const pageRows = 100;
const exportRowsMax = 20_000;

export function SessionsPage() {
  return (
    <List<Session>
      name="sessions"
      columns={sessionColumns}
      shown={sessionColumnsShown}
      keyOf={({ sessionId }) => sessionId}
      target={({ sessionId }) => ({ id: sessionId })}
    />
  );
}

export function CommandsPage() {
  return (
    <List<RecordedCommand>
      name="commands"
      columns={commandColumns}
      shown={commandColumnsShown}
      keyOf={({ sessionId, seq }) => `${sessionId} ${seq}`}
      target={({ sessionId, seq }) => ({ id: sessionId, seq: String(seq) })}
    />
  );
}

async function ask<Row>(name: ListName, q: string, cursor: string, limit: number, signal?: AbortSignal): Promise<ListPage<Row>> {
  const path = withQuery(`/v1/search/${name}`, { q, limit, cursor });
  const answer = await api<Record<ListName, Row[]> & { next?: string }>(path, signal === undefined ? {} : { signal });
  return { rows: answer[name], ...(answer.next === undefined ? {} : { next: answer.next }) };
}

function List<Row>({
  name,
  columns,
  shown,
  keyOf,
  target,
}: {
  name: ListName;
  columns: readonly Column<Row>[];
  shown: readonly string[];
  keyOf: (row: Row) => string;
  target: (row: Row) => { id: string; seq?: string };
}) {
  const navigate = useNavigate();
  const { q = '', cols = '', tail } = useSearch({ strict: false });
  const [text, setText] = useState(q);
  const written = useRef(q);
  const list = useRef<ResultListHandle>(null);
  const live = useIsLive();
  const isTailing = tail === '1';

  const set = useCallback(
    (change: { q?: string; cols?: string; tail?: string }) => {
      const next = Object.fromEntries(Object.entries({ q: text, cols, tail, ...change }).filter(([, value]) => value));
      written.current = next['q'] ?? '';
      void navigate({ to: `/${name}`, search: next, replace: true });
    },
    [navigate, name, text, cols, tail],
  );
  // A link, the palette or the browser's own way back changes the address: the field follows.
  useEffect(() => {
    if (q !== written.current) setText(q);
    written.current = q;
  }, [q]);
  useEffect(() => {
    if (text === written.current) return;
    const timer = setTimeout(() => set({ q: text }), 300);
    return () => clearTimeout(timer);
  }, [text, set]);

  const mistake = queryMistake(text);
  // Of a query that is not finished, the results of the last one that was stay.
  const lastRight = useRef('');
  if (mistake === null) lastRight.current = text;
  const asked = useDeferredValue(lastRight.current);
  const results = useInfiniteQuery({
    queryKey: [name, 'search', asked],
    queryFn: ({ pageParam, signal }) => ask<Row>(name, asked, pageParam, pageRows, signal),
    initialPageParam: '',
    getNextPageParam: last => last.next,
    placeholderData: keepPreviousData,
    // Told of changes, it asks again by itself; a tail shows what the store has just taken in.
    refetchInterval: isTailing ? 1500 : live ? 15_000 : 5000,
    maxPages: 60,
  });
  const rows = useMemo(() => results.data?.pages.flatMap(page => page.rows) ?? [], [results.data]);
  const resources = useQuery({
    queryKey: ['resources'],
    queryFn: ({ signal }) => api<{ resources: Resource[] }>('/v1/resources', { signal }),
    staleTime: 60_000,
  });
  const values = useMemo(() => ({ resource: resources.data?.resources.map(each => each.name) ?? [] }), [resources.data]);
  const chosen = cols === '' ? shown : cols.split(',');
  const visible = columns.filter(({ id }) => chosen.includes(id));
  const isNarrow = useNarrow();
  const fitting = isNarrow && cols === '' ? visible.filter(({ wide }) => wide !== true) : visible;
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = results;
  const onEnd = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);
  const open = (row: Row, newTab: boolean) => {
    const { id, seq } = target(row);
    if (newTab) window.open(`/sessions/${id}${seq === undefined ? '' : `?seq=${seq}`}`, '_blank', 'noopener');
    else void navigate({ to: '/sessions/$id', params: { id }, search: seq === undefined ? {} : { seq } });
  };
  return (
    <Page
      title={name === 'sessions' ? 'Sessions' : 'Commands'}
      toolbar={
        <QueryBar
          text={text}
          onChange={setText}
          onList={() => list.current?.focus()}
          scope={name === 'sessions' ? 'session' : 'command'}
          values={values}
        />
      }
      actions={
        <>
          <Button
            look={isTailing ? 'primary' : undefined}
            icon="play"
            aria-pressed={isTailing}
            title="Follow what happens now"
            onClick={() => set({ tail: isTailing ? '' : '1' })}
            className="only-wide"
          >
            Live
          </Button>
          <Views name={name} query={text} columns={cols} onOpen={view => set({ q: view.query, cols: view.columns })} setText={setText} />
          <ColumnMenu columns={columns} chosen={chosen} shown={shown} onChange={next => set({ cols: next })} />
          <Export name={name} query={asked} columns={visible} />
        </>
      }
    >
      {mistake !== null && text !== '' && (
        <div className="query-error" role="status">
          <Mark text={text} start={mistake.start} end={mistake.end} /> {mistake.message}
        </div>
      )}
      <div className="list-state" data-busy={results.isFetching} aria-hidden="true" />
      {results.isPending ? (
        <Loading rows={14} />
      ) : results.isError && rows.length === 0 ? (
        <ErrorNote error={results.error} retry={() => void results.refetch()} />
      ) : rows.length === 0 ? (
        <NothingFound name={name} query={asked} onClear={() => setText('')} />
      ) : (
        <ResultList
          ref={list}
          rows={rows}
          columns={fitting.length > 0 ? fitting : columns.filter(({ id }) => shown.includes(id))}
          keyOf={keyOf}
          onOpen={open}
          onEnd={onEnd}
          label={name}
        />
      )}
    </Page>
  );
}

/** The part of the query that is mistaken. */
function Mark({ text, start, end }: { text: string; start: number; end: number }) {
  const part = text.slice(start, Math.max(end, start + 1));
  return part === '' ? null : (
    <code>
      <Untrusted text={part} />
    </code>
  );
}

function NothingFound({ name, query, onClear }: { name: ListName; query: string; onClear: () => void }) {
  if (query.trim() === '') {
    return (
      <Empty icon="sessions" title={`No ${name} yet`}>
        <p>
          As soon as somebody connects through the gateway, it is here.{' '}
          <Link className="link" to="/start">
            First steps
          </Link>
        </p>
      </Empty>
    );
  }
  return (
    <Empty icon="search" title="Nothing matches">
      <p>
        Nothing that you may see fits <code>{query.slice(0, 200)}</code>.
      </p>
      <Button onClick={onClear}>Clear the query</Button>
    </Empty>
  );
}

function ColumnMenu<Row>({
  columns,
  chosen,
  shown,
  onChange,
}: {
  columns: readonly Column<Row>[];
  chosen: readonly string[];
  shown: readonly string[];
  onChange: (cols: string) => void;
}) {
  const toggle = (id: string) => {
    const next = columns.map(column => column.id).filter(each => (each === id ? !chosen.includes(id) : chosen.includes(each)));
    onChange(next.length === 0 || next.join() === shown.join() ? '' : next.join());
  };
  return (
    <Menu label="Columns" icon="columns">
      {columns.map(({ id, label }) => (
        <label key={id}>
          <input type="checkbox" checked={chosen.includes(id)} onChange={() => toggle(id)} /> {label}
        </label>
      ))}
      <hr />
      <button type="button" onClick={() => onChange('')}>
        As it was
      </button>
    </Menu>
  );
}

function Views({
  name,
  query,
  columns,
  onOpen,
  setText,
}: {
  name: ListName;
  query: string;
  columns: string;
  onOpen: (view: { query: string; columns: string }) => void;
  setText: (text: string) => void;
}) {
  const views = useSavedViews(name);
  const [saving, setSaving] = useState(false);
  const open = (view: { query: string; columns: string }) => {
    setText(view.query);
    onOpen(view);
  };
  return (
    <>
      <Menu label="Saved views" icon="star">
        {[...views.own, ...views.suggested].map((view, index) => (
          <button key={`${view.name} ${index}`} type="button" onClick={() => open(view)}>
            <Icon name={index < views.own.length ? 'star' : 'list'} />
            <span className="col" style={{ gap: 0 }}>
              <Untrusted text={view.name} />
              <code className="softer">{view.query}</code>
            </span>
          </button>
        ))}
        <hr />
        <button type="button" onClick={() => setSaving(true)}>
          <Icon name="plus" /> Save this view …
        </button>
        {views.own.map(view => (
          <button key={`remove ${view.name}`} type="button" onClick={() => views.remove(view.name)}>
            <Icon name="cross" /> Forget <Untrusted text={view.name} />
          </button>
        ))}
      </Menu>
      {saving && (
        <Dialog title="Save this view" onClose={() => setSaving(false)}>
          <form
            className="col"
            onSubmit={event => {
              event.preventDefault();
              const chosen = String(new FormData(event.currentTarget).get('name') ?? '').trim();
              if (chosen === '') return;
              views.save({ name: chosen, query, columns });
              setSaving(false);
              toast(`Saved as ${chosen}.`);
            }}
          >
            <div className="field">
              <label htmlFor="view-name">Name</label>
              <input id="view-name" name="name" className="input" maxLength={60} required data-first />
            </div>
            <code className="softer">{query || 'everything'}</code>
            <div className="actions">
              <button type="submit" className="button primary">
                Save
              </button>
            </div>
          </form>
        </Dialog>
      )}
    </>
  );
}

function Export<Row>({ name, query, columns }: { name: ListName; query: string; columns: readonly Column<Row>[] }) {
  const [busy, setBusy] = useState(false);
  const save = async (form: 'csv' | 'jsonl') => {
    setBusy(true);
    try {
      const rows: Row[] = [];
      let cursor: string | undefined = '';
      while (cursor !== undefined && rows.length < exportRowsMax) {
        const page: ListPage<Row> = await ask<Row>(name, query, cursor, 1000);
        rows.push(...page.rows);
        cursor = page.next;
      }
      const content =
        form === 'csv'
          ? csv(
              columns.map(({ label }) => label),
              rows.map(row => columns.map(({ text }) => text(row))),
            )
          : `${rows.map(row => JSON.stringify(row)).join('\n')}\n`;
      saveFile(`sallyport-${name}.${form}`, form === 'csv' ? 'text/csv' : 'application/x-ndjson', content);
      toast(
        `${rows.length} rows saved${cursor === undefined ? '' : '; there are more: narrow the query, or use sallyport evidence export'}.`,
      );
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), true);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Menu label={busy ? 'Exporting …' : 'Export'} icon="download">
      <button type="button" disabled={busy} onClick={() => void save('csv')}>
        CSV, the columns shown
      </button>
      <button type="button" disabled={busy} onClick={() => void save('jsonl')}>
        JSON lines, everything
      </button>
    </Menu>
  );
}
