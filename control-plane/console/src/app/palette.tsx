/** Ctrl-K: every page, resource, session id and action, by a few letters. */
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { type KeyboardEvent, useMemo, useState } from 'react';
import { api } from '../api/client.ts';
import { Dialog } from '../ui/dialog.tsx';
import { Icon, type IconName } from '../ui/icon.tsx';
import { useRegistered } from '../ui/keyboard.ts';
import { Untrusted } from '../ui/untrusted.tsx';
import { Keys } from './keyboard-help.tsx';
import type { Destination } from './shell.tsx';
import { applyTheme } from './theme.ts';

interface Entry {
  id: string;
  label: string;
  icon: IconName;
  keys?: string;
  hint?: string;
  run: () => void;
}

const shownMax = 12;

export function Palette({
  destinations,
  onClose,
  onHelp,
}: {
  destinations: readonly Destination[];
  onClose: () => void;
  onHelp: () => void;
}) {
  const navigate = useNavigate();
  const [text, setText] = useState('');
  const [selected, setSelected] = useState(0);
  const shortcuts = useRegistered();
  const resources = useQuery({
    queryKey: ['resources'],
    queryFn: ({ signal }) => api<{ resources: { name: string }[] }>('/v1/resources', { signal }),
    staleTime: 30_000,
  });
  const entries = useMemo((): Entry[] => {
    const go = (to: string, search?: Record<string, string>) => () => void navigate({ to, ...(search === undefined ? {} : { search }) });
    const id = text.trim();
    return [
      ...(/^[0-9a-f][0-9a-f-]{15,}$/i.test(id)
        ? [{ id: 'session', label: `Open session ${id}`, icon: 'sessions' as const, run: go(`/sessions/${id}`) }]
        : []),
      ...destinations.map(({ to, label, icon, keys }) => ({ id: to, label: `Go to ${label}`, icon, keys, run: go(to) })),
      ...shortcuts
        .filter(({ keys, label }) => !keys.startsWith('g ') && keys !== 'mod+k' && keys !== '?' && label !== '' && keys.length < 12)
        .map(({ keys, label, run }) => ({
          id: `key ${keys} ${label}`,
          label,
          icon: 'play' as const,
          keys,
          run: () => run(new KeyboardEvent('keydown')),
        })),
      ...(resources.data?.resources ?? []).map(({ name }) => ({
        id: `resource ${name}`,
        label: name,
        icon: 'resource' as const,
        hint: 'its sessions',
        run: go('/sessions', { q: `resource:${name}` }),
      })),
      { id: 'denied', label: 'What was denied today', icon: 'list', run: go('/commands', { q: 'decision:denied since:1d' }) },
      { id: 'live', label: 'Sessions that are open now', icon: 'sessions', run: go('/sessions', { q: 'is:live' }) },
      { id: 'light', label: 'Light theme', icon: 'sun', run: () => applyTheme('light') },
      { id: 'dark', label: 'Dark theme', icon: 'moon', run: () => applyTheme('dark') },
      { id: 'help', label: 'Keyboard help', icon: 'info', keys: '?', run: onHelp },
      { id: 'start', label: 'First steps', icon: 'route', run: go('/start') },
      { id: 'invite', label: 'Invite an agent', icon: 'plus', run: go('/agents', { invite: '1' }) },
      { id: 'docs', label: 'API reference', icon: 'book', run: go('/docs') },
    ];
  }, [destinations, navigate, onHelp, resources.data, shortcuts, text]);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const matching = entries.filter(({ id, label }) => id === 'session' || words.every(word => label.toLowerCase().includes(word)));
  const found: Entry[] = [
    ...matching.slice(0, shownMax),
    ...(text.trim() === ''
      ? []
      : [
          {
            id: 'search',
            label: `Search sessions for ${text.trim()}`,
            icon: 'search' as const,
            run: () => void navigate({ to: '/sessions', search: { q: text.trim() } }),
          },
        ]),
  ];
  const at = Math.min(selected, found.length - 1);
  const run = (entry: Entry | undefined) => {
    onClose();
    entry?.run();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step =
      event.key === 'ArrowDown' || (event.ctrlKey && event.key === 'n')
        ? 1
        : event.key === 'ArrowUp' || (event.ctrlKey && event.key === 'p')
          ? -1
          : 0;
    if (step !== 0) {
      event.preventDefault();
      setSelected((at + step + found.length) % found.length);
    } else if (event.key === 'Enter') {
      event.preventDefault();
      run(found[at]);
    }
  };
  return (
    <Dialog title="Search and commands" onClose={onClose} className="palette" bare>
      <input
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={found[at] === undefined ? undefined : `palette-${at}`}
        aria-label="Search and commands"
        placeholder="Where to, or what to do?"
        value={text}
        onChange={event => {
          setText(event.target.value);
          setSelected(0);
        }}
        onKeyDown={onKeyDown}
        spellCheck={false}
      />
      <ul id="palette-list" role="listbox" aria-label="Results">
        {found.map((entry, index) => (
          <li
            key={entry.id}
            id={`palette-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === at}
            onClick={() => run(entry)}
            onPointerMove={() => setSelected(index)}
          >
            <Icon name={entry.icon} />
            <Untrusted text={entry.label} />
            <span className="hint">{entry.keys ? <Keys keys={entry.keys} /> : entry.hint}</span>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
