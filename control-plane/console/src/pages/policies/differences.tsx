/** What changed in a manifest, field by field. */
import { Untrusted } from '../../ui/untrusted.tsx';

export interface FieldChange {
  path: string;
  before?: unknown;
  after?: unknown;
}

const shownMax = 100;

export function Differences({ changes }: { changes: readonly FieldChange[] }) {
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

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > 400 ? `${text.slice(0, 400)}…` : text;
}
