/** A page with a list at the left and one of its items at the right, gone through with j and k. On a telephone one or the other. */
import type { ReactNode } from 'react';
import { Button, Page } from './basics.tsx';
import { useShortcuts } from './keyboard.ts';

export function ListAndDetail<Item extends { id: string }>({
  title,
  label,
  actions,
  list,
  current,
  onOpen,
  before,
  item,
  detail,
  whenEmpty,
}: {
  title: string;
  /** What the list holds, for whoever hears it. */
  label: string;
  actions?: ReactNode;
  list: readonly Item[];
  /** Id of the item that is shown; it need not be in the list any more. */
  current: string | undefined;
  /** undefined: back to the list. */
  onOpen: (id: string | undefined) => void;
  /** Stands in the place of both: it loads, it failed, there is nothing. */
  before: ReactNode;
  item: (item: Item, isCurrent: boolean) => ReactNode;
  detail: ReactNode;
  /** The list is empty, and something that was in it is shown still. */
  whenEmpty: string;
}) {
  const at = list.findIndex(({ id }) => id === current);
  const move = (step: number) => {
    const next = list[at < 0 ? (step > 0 ? 0 : list.length - 1) : Math.max(0, Math.min(list.length - 1, at + step))];
    if (next !== undefined) onOpen(next.id);
  };
  useShortcuts([
    { keys: 'j', label: 'Next', run: () => move(1) },
    { keys: 'k', label: 'The one before', run: () => move(-1) },
    { keys: 'Escape', label: '', run: () => onOpen(undefined) },
  ]);
  return (
    <Page
      title={
        <span className="row">
          {current !== undefined && (
            <Button look="quiet" icon="back" aria-label="Back to the list" className="only-narrow" onClick={() => onOpen(undefined)} />
          )}
          {title}
        </span>
      }
      actions={actions}
    >
      {before ?? (
        <div className="split" data-detail={current !== undefined}>
          <nav className="list" aria-label={label}>
            {list.map(each => item(each, each.id === current))}
            {list.length === 0 && <p className="pad softer">{whenEmpty}</p>}
          </nav>
          <div className="detail">{detail}</div>
        </div>
      )}
    </Page>
  );
}
