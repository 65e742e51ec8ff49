/** Short messages about what was just done. */
import { useSyncExternalStore } from 'react';
import { Icon } from './icon.tsx';
import { Untrusted } from './untrusted.tsx';

interface Toast {
  id: number;
  text: string;
  bad: boolean;
}

const shownMs = 5000;
const shownMax = 4;
let toasts: readonly Toast[] = [];
let serial = 0;
const listeners = new Set<() => void>();

function set(next: readonly Toast[]): void {
  toasts = next;
  for (const listener of listeners) listener();
}

export function toast(text: string, bad = false): void {
  const id = ++serial;
  set([...toasts, { id, text, bad }].slice(-shownMax));
  setTimeout(() => set(toasts.filter(each => each.id !== id)), shownMs);
}

export function Toasts() {
  const current = useSyncExternalStore(
    listener => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <div className="toasts" role="status" aria-live="polite">
      {current.map(({ id, text, bad }) => (
        <div key={id} className="toast">
          <Icon name={bad ? 'warn' : 'check'} />
          <Untrusted text={text} />
        </div>
      ))}
    </div>
  );
}
