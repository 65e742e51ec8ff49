/** What changed in a manifest, field by field. */
import { stringify } from 'yaml';
import { Untrusted } from '../../ui/untrusted.tsx';

export interface FieldChange {
  path: string;
  before?: unknown;
  after?: unknown;
}

const fieldsMax = 100;
const charactersMax = 2000;

/** @param whole nothing is cut: for whoever answers for what is in it. */
export function Differences({ changes, whole = false }: { changes: readonly FieldChange[]; whole?: boolean }) {
  const shownMax = whole ? Number.POSITIVE_INFINITY : fieldsMax;
  const shown = (value: unknown) => textOf(value, whole ? Number.POSITIVE_INFINITY : charactersMax);
  if (changes.length === 0) return <p className="softer">Nothing changes.</p>;
  return (
    <div className="diff">
      {changes.slice(0, shownMax).map(({ path, before, after }, index) => (
        <div key={index} style={{ display: 'contents' }}>
          {before !== undefined && (
            <div className="del">
              − <Untrusted text={`${path}:${shown(before)}`} />
            </div>
          )}
          {after !== undefined && (
            <div className="add">
              + <Untrusted text={`${path}:${shown(after)}`} />
            </div>
          )}
        </div>
      ))}
      {changes.length > shownMax && <div className="softer">and {changes.length - shownMax} more</div>}
    </div>
  );
}

/** With what is before it: one line where there is one, else as YAML below the name. */
function textOf(value: unknown, max: number): string {
  const text =
    typeof value === 'string'
      ? ` ${value}`
      : isNested(value)
        ? `\n${stringify(value, { lineWidth: 100, flowCollectionPadding: true }).trimEnd().replaceAll(/^/gm, '    ')}`
        : ` ${JSON.stringify(value)}`;
  return text.length > max ? `${text.slice(0, max)}…` : text;
}

function isNested(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.values(value).some(part => typeof part === 'object' && part !== null);
}
