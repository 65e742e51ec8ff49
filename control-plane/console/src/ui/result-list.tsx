/** A long list of rows with columns: only what is seen is in the document. Moved through with j and k, opened with Enter. */
import { useVirtualizer } from '@tanstack/react-virtual';
import { type ReactNode, useEffect, useImperativeHandle, useRef, useState } from 'react';
import { useShortcuts } from './keyboard.ts';

export interface Column<Row> {
  id: string;
  label: string;
  /** Pixels at least; `grow` shares what is left. */
  width: number;
  grow?: number;
  right?: boolean;
  /** Not on a telephone, unless it is asked for. */
  wide?: boolean;
  cell: (row: Row) => ReactNode;
  /** For exports. */
  text: (row: Row) => string | number;
}

export interface ResultListHandle {
  focus(): void;
}

const rowPixels = 34;

export function ResultList<Row>({
  rows,
  columns,
  keyOf,
  onOpen,
  onEnd,
  label,
  ref,
}: {
  rows: readonly Row[];
  columns: readonly Column<Row>[];
  keyOf: (row: Row) => string;
  onOpen: (row: Row, newTab: boolean) => void;
  /** The end is near: more may be asked for. */
  onEnd: () => void;
  label: string;
  ref?: React.Ref<ResultListHandle>;
}) {
  const scroller = useRef<HTMLDivElement>(null);
  const [selectedKey, setSelectedKey] = useState<string | null>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowPixels,
    overscan: 12,
    paddingStart: 32,
    scrollPaddingStart: 40,
  });
  const items = virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (rows.length > 0 && last >= rows.length - 20) onEnd();
  }, [last, rows.length, onEnd]);
  useImperativeHandle(ref, () => ({
    focus() {
      scroller.current?.focus();
      if (selectedKey === null && rows[0] !== undefined) setSelectedKey(keyOf(rows[0]));
    },
  }));
  // The row stays chosen when newer ones come in above it.
  const at = selectedKey === null ? -1 : rows.findIndex(row => keyOf(row) === selectedKey);
  const move = (step: number) => {
    const next = Math.max(0, Math.min(rows.length - 1, at < 0 ? (step > 0 ? step - 1 : rows.length - 1) : at + step));
    const row = rows[next];
    if (row === undefined) return;
    setSelectedKey(keyOf(row));
    virtual.scrollToIndex(next);
  };
  const open = () => {
    const row = rows[at];
    if (row !== undefined) onOpen(row, false);
  };
  useShortcuts([
    { keys: 'j', label: 'Next row', run: () => move(1) },
    { keys: 'k', label: 'Row before', run: () => move(-1) },
    { keys: 'Enter', label: 'Open the row', run: open },
  ]);
  const template = columns.map(({ width, grow }) => (grow === undefined ? `${width}px` : `minmax(${width}px, ${grow}fr)`)).join(' ');
  const least = columns.reduce((sum, { width }) => sum + width + 12, 24);
  return (
    <div
      ref={scroller}
      className="vlist"
      role="grid"
      aria-label={label}
      aria-rowcount={rows.length + 1}
      aria-activedescendant={at >= 0 ? `row-${at}` : undefined}
      tabIndex={0}
      onKeyDown={event => {
        const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -rows.length, End: rows.length }[event.key];
        if (step === undefined) return;
        event.preventDefault();
        move(step);
      }}
    >
      <div role="presentation" style={{ height: virtual.getTotalSize(), minWidth: least, position: 'relative' }}>
        <div role="rowgroup" className="vhead-group">
          <div role="row" className="vhead" style={{ gridTemplateColumns: template }} aria-rowindex={1}>
            {columns.map(column => (
              <span key={column.id} role="columnheader" className={column.right ? 'num truncate' : 'truncate'}>
                {column.label}
              </span>
            ))}
          </div>
        </div>
        <div role="rowgroup">
          {items.map(({ index, start }) => {
            const row = rows[index];
            if (row === undefined) return null;
            const key = keyOf(row);
            return (
              <div
                key={key}
                id={`row-${index}`}
                role="row"
                tabIndex={-1}
                aria-rowindex={index + 2}
                aria-selected={index === at}
                className="vrow"
                style={{ gridTemplateColumns: template, transform: `translateY(${start}px)` }}
                onClick={event => {
                  setSelectedKey(key);
                  onOpen(row, event.ctrlKey || event.metaKey);
                }}
              >
                {columns.map(column => (
                  <div key={column.id} role="gridcell" className={column.right ? 'num truncate' : 'truncate'}>
                    {column.cell(row)}
                  </div>
                ))}
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
