/** Queries with a name, kept in this browser. */
import { useState } from 'react';

export interface SavedView {
  name: string;
  query: string;
  columns: string;
}

const viewsMax = 30;

const suggested: Readonly<Record<'sessions' | 'commands', readonly SavedView[]>> = {
  sessions: [
    { name: 'Open now', query: 'is:live', columns: '' },
    { name: 'With something denied, 7 days', query: 'decision:denied since:7d', columns: '' },
    { name: 'Programs, today', query: 'kind:workload since:24h', columns: '' },
    { name: 'Refused at the door, 7 days', query: 'is:refused since:7d', columns: 'status,started,who,resource,client,end' },
  ],
  commands: [
    { name: 'Denied, 24 hours', query: 'decision:denied since:24h', columns: '' },
    { name: 'Held, 7 days', query: 'decision:held since:7d', columns: '' },
    { name: 'Masked, 24 hours', query: 'masked:>0 since:24h', columns: 'at,who,resource,text,masked,classes' },
    { name: 'Slow, 24 hours', query: 'duration:>1s since:24h', columns: '' },
    { name: 'Large answers, 7 days', query: 'rows:>10k since:7d', columns: '' },
  ],
};

export function useSavedViews(list: 'sessions' | 'commands') {
  const key = `sallyport-views-${list}`;
  const [own, setOwn] = useState<readonly SavedView[]>(() => read(key));
  const store = (next: readonly SavedView[]) => {
    localStorage.setItem(key, JSON.stringify(next));
    setOwn(next);
  };
  return {
    own,
    suggested: suggested[list],
    save: (view: SavedView) => store([...own.filter(({ name }) => name !== view.name), view].slice(-viewsMax)),
    remove: (name: string) => store(own.filter(each => each.name !== name)),
  };
}

/** What lies there may be from another version, or by another hand: only what has the shape is taken. */
function read(key: string): SavedView[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(key) ?? '[]');
    if (!Array.isArray(stored)) return [];
    return stored.flatMap((each: Partial<SavedView>) =>
      typeof each?.name === 'string' && typeof each.query === 'string'
        ? [{ name: each.name, query: each.query, columns: typeof each.columns === 'string' ? each.columns : '' }]
        : [],
    );
  } catch {
    return []; // Not JSON: there are no views.
  }
}
