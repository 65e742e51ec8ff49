/** What changed in a manifest, field by field. */
import { Untrusted } from '../../ui/untrusted.tsx';

export interface FieldChange {
  path: string;
  before?: unknown;
  after?: unknown;
}

const fieldsMax = 100;
const charactersMax = 400;

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
              − <Untrusted text={`${path}: ${shown(before)}`} />
            </div>
          )}
          {after !== undefined && (
            <div className="add">
              + <Untrusted text={`${path}: ${shown(after)}`} />
            </div>
          )}
        </div>
      ))}
      {changes.length > shownMax && <div className="softer">and {changes.length - shownMax} more</div>}
    </div>
  );
}

function textOf(value: unknown, max: number): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > max ? `${text.slice(0, max)}…` : text;
}
