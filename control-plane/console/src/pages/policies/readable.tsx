/** A manifest as a page to read: guards and data policies as tables, everything else by its fields. */
import type { Kind, ResourceSelector as Selector } from '@sallyport/shared/policy/model.ts';
import { Badge } from '../../ui/basics.tsx';
import { DataTable } from '../../ui/data-table.tsx';
import { Untrusted } from '../../ui/untrusted.tsx';
import { durationText, sizeText } from './manifest-text.ts';
import { membersText, selectorText } from './summary.ts';

type Loose = Record<string, unknown>;

export function Readable({ kind, spec }: { kind: Kind; spec: unknown }) {
  const given = (spec ?? {}) as Loose;
  const { rules, columns, ...rest } = given;
  return (
    <div className="col" style={{ gap: 16 }}>
      {kind === 'Guard' && Array.isArray(rules) && <Rules rules={rules as Rule[]} />}
      {kind === 'DataPolicy' && Array.isArray(columns) && columns.length > 0 && <Columns columns={columns as Column[]} />}
      <Fields value={kind === 'Guard' || kind === 'DataPolicy' ? rest : given} />
    </div>
  );
}

interface Rule {
  name: string;
  match: Loose;
  when?: string;
  action: string;
  message?: string;
  approval?: { from: { groups: string[] }; quorum: number; expiresInMs: number; preview: boolean };
}

const tones: Readonly<Record<string, 'bad' | 'wait' | 'good' | 'mask'>> = { deny: 'bad', hold: 'wait', allow: 'good', mask: 'mask' };

function Rules({ rules }: { rules: readonly Rule[] }) {
  return (
    <section className="col">
      <p className="soft">The first rule that matches a command decides; what no rule matches is allowed.</p>
      <ol className="rules">
        {rules.map((rule, index) => (
          <li key={rule.name} className="card">
            <div className="body col" style={{ gap: 6 }}>
              <div className="row wrap">
                <span className="softer">{index + 1}</span>
                <strong>
                  <Untrusted text={rule.name} />
                </strong>
                <Badge tone={tones[rule.action]}>{rule.action}</Badge>
                {Object.entries(rule.match).map(([what, value]) => (
                  <Badge key={what}>
                    <Untrusted text={`${what}: ${plain(value)}`} />
                  </Badge>
                ))}
              </div>
              {rule.when && (
                <div>
                  <span className="softer">when </span>
                  <code>
                    <Untrusted text={rule.when} />
                  </code>
                </div>
              )}
              {rule.message && (
                <div className="soft">
                  “<Untrusted text={rule.message} />”
                </div>
              )}
              {rule.approval && (
                <div className="soft">
                  {rule.approval.quorum} of each of <Untrusted text={rule.approval.from.groups.join(', ')} /> within{' '}
                  {durationText(rule.approval.expiresInMs)}
                  {rule.approval.preview && ', with a preview of the effect'}
                </div>
              )}
            </div>
          </li>
        ))}
      </ol>
    </section>
  );
}

interface Column {
  match: string;
  action: string;
  as?: string;
}

function Columns({ columns }: { columns: readonly Column[] }) {
  return (
    <DataTable
      label="Columns"
      rows={columns}
      keyOf={({ match }) => match}
      columns={[
        {
          title: 'Column',
          cell: ({ match }) => (
            <code>
              <Untrusted text={match} />
            </code>
          ),
        },
        {
          title: 'What happens',
          cell: ({ action, as }) => (
            <Badge tone={tones[action]}>{action === 'mask' ? `masked: ${as}` : action === 'deny' ? 'denied' : action}</Badge>
          ),
        },
      ]}
    />
  );
}

function Fields({ value }: { value: Loose }) {
  return (
    <dl className="facts">
      {Object.entries(value).map(([name, each]) => (
        <div key={name} style={{ display: 'contents' }}>
          <dt>{name.replace(/Ms$/, '')}</dt>
          <dd>
            <Field name={name} value={each} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Field({ name, value }: { name: string; value: unknown }) {
  if (name === 'resources') return <Untrusted text={selectorText(value as Selector)} />;
  if (name === 'members') return <Untrusted text={membersText(value as Loose)} />;
  if (typeof value === 'number')
    return name.endsWith('Ms') ? durationText(value) : /[bB]ytes$/.test(name) ? sizeText(value) : String(value);
  if (typeof value === 'string') {
    if (value.includes('-----BEGIN')) return <span className="softer">a certificate</span>;
    return name === 'when' ? (
      <code>
        <Untrusted text={value} />
      </code>
    ) : (
      <Untrusted text={value} />
    );
  }
  if (Array.isArray(value) && value.every(each => typeof each !== 'object')) {
    return value.length === 0 ? (
      <span className="softer">none</span>
    ) : (
      <span className="row wrap" style={{ gap: 4 }}>
        {value.map((each, index) => (
          <Badge key={index}>
            <Untrusted text={String(each)} />
          </Badge>
        ))}
      </span>
    );
  }
  if (Array.isArray(value)) {
    return (
      <div className="col">
        {value.map((each, index) => (
          <Fields key={index} value={each as Loose} />
        ))}
      </div>
    );
  }
  if (typeof value === 'object' && value !== null)
    return Object.keys(value).length === 0 ? <span className="softer">any</span> : <Fields value={value as Loose} />;
  return <Untrusted text={String(value)} />;
}

function plain(value: unknown): string {
  if (Array.isArray(value)) return value.map(plain).join(', ');
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
}
