/** A table of what is there, as wide as its cells; long lists that are moved through are a ResultList. */
import type { ReactNode } from 'react';

export interface TableColumn<Row> {
  title: string;
  /** Numbers, or buttons that stand at the end. */
  right?: boolean;
  /** The title is for those who cannot see that the column needs none. */
  titleHidden?: boolean;
  cell: (row: Row) => ReactNode;
}

/** @param label what the rows are, for whoever hears them. @param onOpen a click anywhere in a row. */
export function DataTable<Row>({
  label,
  columns,
  rows,
  keyOf,
  onOpen,
}: {
  label: string;
  columns: readonly TableColumn<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row) => string | number;
  onOpen?: (row: Row) => void;
}) {
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={label}>
      <table className="table">
        <thead>
          <tr>
            {columns.map(({ title, right, titleHidden }) => (
              <th key={title} scope="col" className={right ? 'num' : undefined}>
                {titleHidden ? <span className="visually-hidden">{title}</span> : title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(row => (
            <tr key={keyOf(row)} {...(onOpen === undefined ? {} : { className: 'clickable', onClick: () => onOpen(row) })}>
              {columns.map(({ title, right, cell }) => (
                <td key={title} className={right ? 'num' : undefined}>
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
