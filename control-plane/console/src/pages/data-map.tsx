/** Which data was seen where and by whom, masked or in clear; and what nobody has labelled. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { ApiError, api, withQuery } from '../api/client.ts';
import { may, useMe } from '../api/me.ts';
import { Badge, Button, Empty, ErrorNote, Loading, Note, Page, QueryLink, Tabs } from '../ui/basics.tsx';
import { DataTable, type TableColumn } from '../ui/data-table.tsx';
import { FormDialog, TextField } from '../ui/form-dialog.tsx';
import { compact, Time } from '../ui/format.tsx';
import { toast } from '../ui/toast.tsx';
import { Untrusted } from '../ui/untrusted.tsx';

interface Common {
  resource: string;
  commands: number;
  lastAt: string;
  query: string;
}

interface DataMap {
  columns: (Common & {
    column: string;
    protection: { policy: string; action: 'mask' | 'deny'; as: string } | null;
    rows: number;
    masked: number;
    clear: number;
    readers: number;
    mostOften: { principal: string; kind: string; commands: number; clear: number }[];
  })[];
  classes: (Common & { class: string; readers: number })[];
  unlabelled: (Common & { column: string; detector: string; certain: number; manifest: string | null })[];
  truncated: boolean;
}

type Unlabelled = DataMap['unlabelled'][number];
type View = 'columns' | 'classes' | 'unlabelled';

export function DataMapPage() {
  const { resource, show, find = '' } = useSearch({ from: '/data' });
  const navigate = useNavigate();
  const me = useMe();
  const map = useQuery({
    queryKey: ['data-map', resource ?? ''],
    queryFn: ({ signal }) => api<DataMap>(withQuery('/v1/data-map', { resource }), { signal }),
    staleTime: 30_000,
  });
  const [protecting, setProtecting] = useState<Unlabelled | null>(null);
  const view: View = show === 'classes' || show === 'unlabelled' ? show : 'columns';
  const set = (change: { show?: string; find?: string }) => {
    const next = Object.fromEntries(Object.entries({ resource, show, find, ...change }).filter(([, value]) => value));
    void navigate({ to: '/data', search: next, replace: true });
  };
  const { columns = [], classes = [], unlabelled = [] } = map.data ?? {};
  const fits = (...texts: string[]) => texts.some(text => text.toLowerCase().includes(find.trim().toLowerCase()));
  return (
    <Page
      title="Data map"
      actions={
        <input
          className="input find"
          type="search"
          aria-label="Find"
          placeholder="Find a column, class or reader"
          value={find}
          onChange={event => set({ find: event.target.value })}
        />
      }
    >
      {map.isPending && <Loading />}
      {map.isError && <ErrorNote error={map.error} retry={() => void map.refetch()} />}
      {map.data && (
        <div className="pad col" style={{ gap: 12 }}>
          <div className="row wrap spread">
            <Tabs<View>
              label="What"
              value={view}
              onChange={next => set({ show: next === 'columns' ? '' : next })}
              options={[
                { value: 'columns', label: `Columns ${columns.length}` },
                { value: 'classes', label: `Classes ${classes.length}` },
                { value: 'unlabelled', label: `Not labelled ${unlabelled.length}` },
              ]}
            />
            <span className="softer">The last seven days{map.data.truncated && ', the most used'}</span>
          </div>
          {view === 'columns' && (
            <Columns
              columns={columns.filter(each => fits(each.column, each.resource, ...each.mostOften.map(({ principal }) => principal)))}
            />
          )}
          {view === 'classes' && <Classes classes={classes.filter(each => fits(each.class, each.resource))} />}
          {view === 'unlabelled' && (
            <NotLabelled
              rows={unlabelled.filter(each => fits(each.column, each.resource, each.detector))}
              onProtect={may(me.data, 'admin') ? setProtecting : null}
            />
          )}
        </div>
      )}
      {protecting && <Protect row={protecting} onClose={() => setProtecting(null)} />}
    </Page>
  );
}

function Columns({ columns }: { columns: DataMap['columns'] }) {
  if (columns.length === 0) return <Empty icon="map" title="No column was read" />;
  return (
    <DataTable
      label="Columns"
      rows={columns}
      keyOf={each => `${each.resource} ${each.column}`}
      columns={[
        { title: 'Column', cell: ColumnOfResource },
        { title: 'Protected', cell: ({ protection }) => <Protection protection={protection} /> },
        commandsColumn,
        { title: 'Masked or in clear', cell: each => <Share column={each} /> },
        { title: 'Readers', cell: each => <Readers column={each} /> },
        lastColumn,
      ]}
    />
  );
}

const commandsColumn: TableColumn<Common> = { title: 'Commands', right: true, cell: ({ commands }) => compact(commands) };
const lastColumn: TableColumn<Common> = { title: 'Last', cell: ({ lastAt }) => <Time at={lastAt} /> };

function ColumnOfResource({ column, resource, query }: Common & { column: string }) {
  return (
    <>
      <QueryLink to="/commands" query={query}>
        <Untrusted text={column} />
      </QueryLink>{' '}
      <span className="softer">
        <Untrusted text={resource} />
      </span>
    </>
  );
}

function Protection({ protection }: Pick<DataMap['columns'][number], 'protection'>) {
  if (protection === null) return <span className="softer">no</span>;
  const { action, as, policy } = protection;
  return (
    <Badge tone={action === 'deny' ? 'bad' : 'mask'} title={policy}>
      {action === 'deny' ? 'denied' : as}
    </Badge>
  );
}

function Share({ column: { masked, clear, protection } }: { column: DataMap['columns'][number] }) {
  return (
    <>
      <span className="share" role="img" aria-label={`${masked} masked, ${clear} in clear`}>
        <i className="fill-mask" style={{ flexGrow: masked }} />
        <i className={protection === null ? 'fill-plain' : 'fill-bad'} style={{ flexGrow: clear }} />
      </span>
      <span className="softer">
        {' '}
        {compact(masked)} / {compact(clear)}
      </span>
    </>
  );
}

function Readers({ column: { mostOften, readers } }: { column: DataMap['columns'][number] }) {
  return (
    <>
      {mostOften.slice(0, 3).map(({ principal }, index) => (
        <span key={principal}>
          {index > 0 && ', '}
          <Untrusted text={principal} />
        </span>
      ))}
      {readers > 3 && <span className="softer"> and {readers - 3} more</span>}
    </>
  );
}

function Classes({ classes }: { classes: DataMap['classes'] }) {
  if (classes.length === 0) return <Empty icon="map" title="No detector found anything" />;
  return (
    <DataTable
      label="Classes"
      rows={classes}
      keyOf={each => `${each.resource} ${each.class}`}
      columns={[
        {
          title: 'Class',
          cell: each => (
            <QueryLink to="/commands" query={each.query}>
              <Untrusted text={each.class} />
            </QueryLink>
          ),
        },
        { title: 'Resource', cell: ({ resource }) => <Untrusted text={resource} /> },
        commandsColumn,
        { title: 'Readers', right: true, cell: ({ readers }) => compact(readers) },
        lastColumn,
      ]}
    />
  );
}

function NotLabelled({ rows, onProtect }: { rows: Unlabelled[]; onProtect: ((row: Unlabelled) => void) | null }) {
  if (rows.length === 0) return <Note tone="good">No detector fires in a column that no rule names.</Note>;
  return (
    <DataTable
      label="Not labelled"
      rows={rows}
      keyOf={each => `${each.resource} ${each.column} ${each.detector}`}
      columns={[
        { title: 'Column', cell: ColumnOfResource },
        {
          title: 'What is in it',
          cell: ({ detector, certain }) => (
            <>
              <Badge tone="wait">
                <Untrusted text={detector} />
              </Badge>{' '}
              <span className="softer">{certain > 0 ? 'certainly' : 'or in another column of the same answer'}</span>
            </>
          ),
        },
        commandsColumn,
        lastColumn,
        {
          title: 'Action',
          titleHidden: true,
          cell: each =>
            onProtect !== null &&
            each.manifest !== null && (
              <Button icon="shield" onClick={() => onProtect(each)}>
                Protect this column
              </Button>
            ),
        },
      ]}
    />
  );
}

function Protect({ row, onClose }: { row: Unlabelled; onClose: () => void }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  /** Here a change of policy needs a second person. */
  const [needsReview, setNeedsReview] = useState(false);
  const manifests = [{ file: 'console.yaml', text: row.manifest ?? '' }];
  const propose = async (reason: string) => {
    const { id } = await api<{ id: string }>('/v1/changes', { method: 'POST', body: { manifests, reason } });
    toast('Proposed. Somebody else has to approve it.');
    void navigate({ to: '/changes/$id', params: { id } });
  };
  const protect = async (text: (name: string) => string) => {
    const reason = text('reason');
    if (needsReview) return propose(reason);
    try {
      await api('/v1/apply', { method: 'POST', body: { manifests, reason } });
    } catch (error) {
      if (error instanceof ApiError && error.code === 'CHANGE_NEEDS_REVIEW') setNeedsReview(true);
      throw error;
    }
    toast(`${row.column} is protected from now on.`);
    await client.invalidateQueries({ queryKey: ['data-map'] });
    onClose();
  };
  return (
    <FormDialog
      title={`Protect ${row.column}`}
      submit={needsReview ? 'Propose it' : 'Protect it'}
      cancel="Not now"
      onSubmit={protect}
      onClose={onClose}
      className="wide"
    >
      <p className="soft">
        {needsReview
          ? 'This manifest is proposed, and applied when somebody else with the role admin approves it.'
          : 'This manifest is applied. Agents follow it within a second; sessions that are open as well.'}
      </p>
      <pre className="code-block">
        <Untrusted text={row.manifest ?? ''} pre />
      </pre>
      <TextField name="reason" label="Reason" longest={500} required first initial={`protect ${row.column}`} />
    </FormDialog>
  );
}
