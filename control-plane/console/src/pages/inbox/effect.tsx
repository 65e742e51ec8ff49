/** What a held command would do: how many rows, and some of them as they are and as they would be. */
import { Note } from '../../ui/basics.tsx';
import { number } from '../../ui/format.tsx';
import { Untrusted } from '../../ui/untrusted.tsx';
import { type DiffCell, type DiffRow, difference, type Preview } from './approval-types.ts';

export function Effect({ preview: known }: { preview: Preview | null }) {
  if (known === null) return null;
  const { columns, rows } = difference(known.before, known.after);
  return (
    <section className="col" aria-label="Effect">
      <h2 className="row">
        Effect
        {known.rowCount !== null && (
          <span className={known.rowCount > 1000 ? 'value bad' : 'value'}>
            {number(known.rowCount)} {known.rowCount === 1 ? 'row' : 'rows'}
          </span>
        )}
      </h2>
      {known.unavailable !== '' && (
        <Note tone="wait">
          <Untrusted text={known.unavailable} />
        </Note>
      )}
      {rows.length > 0 && (
        <div className="scroll answer" tabIndex={0} role="region" aria-label="Rows before and after">
          <table className="table">
            <thead>
              <tr>
                {columns.map(column => (
                  <th key={column} scope="col">
                    <Untrusted text={column} />
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((row, index) => (
                <tr key={index} className={`diff-row ${row.kind}`}>
                  {row.cells.map((cell, at) => (
                    <td key={at}>
                      <Cell cell={cell} kind={row.kind} />
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {known.rowCount !== null && rows.length > 0 && rows.length < known.rowCount && (
        <span className="softer">
          {number(rows.length)} of {number(known.rowCount)} rows are shown. Values are masked as in every record.
        </span>
      )}
      {known.replaces !== undefined && (
        <Note tone="wait">
          It was approved for {number(known.replaces.rowCount)} rows, and now changes another number: nothing of that was kept, and it is
          asked for anew.
        </Note>
      )}
      {known.notes.map(note => (
        <span key={note} className="softer">
          <Untrusted text={note} />
        </span>
      ))}
    </section>
  );
}

function Cell({ cell, kind }: { cell: DiffCell; kind: DiffRow['kind'] }) {
  if (kind === 'removed') {
    return (
      <del>
        <Text value={cell.before} />
      </del>
    );
  }
  if (kind === 'added') {
    return (
      <ins>
        <Text value={cell.after} />
      </ins>
    );
  }
  if (!cell.changed) return <Text value={cell.after} />;
  return (
    <>
      <del>
        <Text value={cell.before} />
      </del>{' '}
      <ins>
        <Text value={cell.after} />
      </ins>
    </>
  );
}

function Text({ value }: { value: string | null | undefined }) {
  if (value === undefined) return null;
  return value === null ? <span className="null">null</span> : <Untrusted text={value} />;
}
