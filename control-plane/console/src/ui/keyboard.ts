/** Keys that work on a page. Registered keys are what the help (`?`) lists, so the two cannot differ. */
import { useEffect, useRef, useSyncExternalStore } from 'react';

export interface Shortcut {
  /** One key (`j`), or two in a row (`g i`), or with `mod+` for Ctrl and Command. */
  keys: string;
  label: string;
  run: (event: KeyboardEvent) => void;
  /** Also while typing into a field. */
  whileTyping?: boolean;
}

let registered: readonly (readonly Shortcut[])[] = [];
const listeners = new Set<() => void>();
let prefix = '';
let prefixTimer: ReturnType<typeof setTimeout> | undefined;

function changed(next: typeof registered): void {
  registered = next;
  for (const listener of listeners) listener();
}

export function useShortcuts(shortcuts: readonly Shortcut[]): void {
  const latest = useRef(shortcuts);
  latest.current = shortcuts;
  const signature = shortcuts.map(({ keys, label }) => `${keys} ${label}`).join('\n');
  // biome-ignore lint/correctness/useExhaustiveDependencies: the signature stands for the list; handlers are looked up when called
  useEffect(() => {
    const own = latest.current.map((shortcut, index): Shortcut => ({ ...shortcut, run: event => latest.current[index]?.run(event) }));
    changed([...registered, own]);
    return () => changed(registered.filter(each => each !== own));
  }, [signature]);
}

/** All that work now, the page's own last. */
export function useRegistered(): readonly Shortcut[] {
  const current = useSyncExternalStore(
    listener => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => registered,
  );
  return current.flat();
}

function isTyping(event: KeyboardEvent): boolean {
  // The editor lives in a shadow tree: from outside its host would be the target.
  const [target] = event.composedPath();
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

export function handleKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.altKey) return;
  const modified = event.ctrlKey || event.metaKey;
  const key = `${modified ? 'mod+' : ''}${event.key}`;
  const typing = isTyping(event);
  const inDialog = document.querySelector('dialog[open]') !== null;
  const wanted = prefix === '' ? key : `${prefix} ${key}`;
  const candidates = registered.flat().filter(shortcut => (!typing && !inDialog) || shortcut.whileTyping === true);
  clearTimeout(prefixTimer);
  prefix = '';
  const found = candidates.findLast(({ keys }) => keys === wanted);
  if (found) {
    event.preventDefault();
    found.run(event);
  } else if (!modified && candidates.some(({ keys }) => keys.startsWith(`${key} `))) {
    prefix = key;
    prefixTimer = setTimeout(() => {
      prefix = '';
    }, 900);
  }
}
