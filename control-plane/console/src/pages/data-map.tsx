/** Which data was seen where and by whom, masked or in clear; and what nobody has labelled. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';
import { api, withQuery } from '../api/client.ts';
import { may, useMe } from '../api/me.ts';
import { Badge, Button, Empty, ErrorNote, Loading, Note, Page, QueryLink, Tabs } from '../ui/basics.tsx';
import { Dialog } from '../ui/dialog.tsx';
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
    <div className="scroll" tabIndex={0} role="region" aria-label="Columns">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Column</th>
            <th scope="col">Protected</th>
            <th scope="col" className="num">
              Commands
            </th>
            <th scope="col">Masked or in clear</th>
            <th scope="col">Readers</th>
            <th scope="col">Last</th>
          </tr>
        </thead>
        <tbody>
          {columns.map(each => (
            <tr key={`${each.resource} ${each.column}`}>
              <td>
                <QueryLink to="/commands" query={each.query}>
                  <Untrusted text={each.column} />
                </QueryLink>{' '}
                <span className="softer">
                  <Untrusted text={each.resource} />
                </span>
              </td>
              <td>
                {each.protection === null ? (
                  <span className="softer">no</span>
                ) : (
                  <Badge tone={each.protection.action === 'deny' ? 'bad' : 'mask'} title={each.protection.policy}>
                    {each.protection.action === 'deny' ? 'denied' : each.protection.as}
                  </Badge>
                )}
              </td>
              <td className="num">{compact(each.commands)}</td>
              <td>
                <span className="share" role="img" aria-label={`${each.masked} masked, ${each.clear} in clear`}>
                  <i className="fill-mask" style={{ flexGrow: each.masked }} />
                  <i className={each.protection === null ? 'fill-plain' : 'fill-bad'} style={{ flexGrow: each.clear }} />
                </span>
                <span className="softer">
                  {' '}
                  {compact(each.masked)} / {compact(each.clear)}
                </span>
              </td>
              <td>
                {each.mostOften.slice(0, 3).map(({ principal }, index) => (
                  <span key={principal}>
                    {index > 0 && ', '}
                    <Untrusted text={principal} />
                  </span>
                ))}
                {each.readers > 3 && <span className="softer"> and {each.readers - 3} more</span>}
              </td>
              <td>
                <Time at={each.lastAt} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Classes({ classes }: { classes: DataMap['classes'] }) {
  if (classes.length === 0) return <Empty icon="map" title="No detector found anything" />;
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="Classes">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Class</th>
            <th scope="col">Resource</th>
            <th scope="col" className="num">
              Commands
            </th>
            <th scope="col" className="num">
              Readers
            </th>
            <th scope="col">Last</th>
          </tr>
        </thead>
        <tbody>
          {classes.map(each => (
            <tr key={`${each.resource} ${each.class}`}>
              <td>
                <QueryLink to="/commands" query={each.query}>
                  <Untrusted text={each.class} />
                </QueryLink>
              </td>
              <td>
                <Untrusted text={each.resource} />
              </td>
              <td className="num">{compact(each.commands)}</td>
              <td className="num">{compact(each.readers)}</td>
              <td>
                <Time at={each.lastAt} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function NotLabelled({ rows, onProtect }: { rows: Unlabelled[]; onProtect: ((row: Unlabelled) => void) | null }) {
  if (rows.length === 0) return <Note tone="good">No detector fires in a column that no rule names.</Note>;
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="Not labelled">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Column</th>
            <th scope="col">What is in it</th>
            <th scope="col" className="num">
              Commands
            </th>
            <th scope="col">Last</th>
            <th scope="col">
              <span className="visually-hidden">Action</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(each => (
            <tr key={`${each.resource} ${each.column} ${each.detector}`}>
              <td>
                <QueryLink to="/commands" query={each.query}>
                  <Untrusted text={each.column} />
                </QueryLink>{' '}
                <span className="softer">
                  <Untrusted text={each.resource} />
                </span>
              </td>
              <td>
                <Badge tone="wait">
                  <Untrusted text={each.detector} />
                </Badge>{' '}
                <span className="softer">{each.certain > 0 ? 'certainly' : 'or in another column of the same answer'}</span>
              </td>
              <td className="num">{compact(each.commands)}</td>
              <td>
                <Time at={each.lastAt} />
              </td>
              <td>
                {onProtect !== null && each.manifest !== null && (
                  <Button icon="shield" onClick={() => onProtect(each)}>
                    Protect this column
                  </Button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Protect({ row, onClose }: { row: Unlabelled; onClose: () => void }) {
  const client = useQueryClient();
  const [refused, setRefused] = useState('');
  const [busy, setBusy] = useState(false);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    setBusy(true);
    try {
      await api('/v1/apply', {
        method: 'POST',
        body: { manifests: [{ file: 'console.yaml', text: row.manifest ?? '' }], reason: `protect ${row.column}` },
      });
      toast(`${row.column} is protected from now on.`);
      await client.invalidateQueries({ queryKey: ['data-map'] });
      onClose();
    } catch (error) {
      setRefused(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog title={`Protect ${row.column}`} onClose={onClose} className="wide">
      <form className="col" onSubmit={event => void submit(event)}>
        <p className="soft">This manifest is applied. Agents follow it within a second; sessions that are open as well.</p>
        <pre className="code-block">
          <Untrusted text={row.manifest ?? ''} pre />
        </pre>
        {refused !== '' && <Note tone="bad">{refused}</Note>}
        <div className="actions">
          <Button onClick={onClose}>Not now</Button>
          <button type="submit" className="button primary" disabled={busy} data-first>
            Protect it
          </button>
        </div>
      </form>
    </Dialog>
  );
}
