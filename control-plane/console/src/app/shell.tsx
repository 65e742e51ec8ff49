/** What is around every page: navigation, keys, palette, live connection; and the sign-in when nobody is signed in. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, Outlet, useNavigate, useRouterState } from '@tanstack/react-router';
import { lazy, Suspense, useEffect, useState, useSyncExternalStore } from 'react';
import { api } from '../api/client.ts';
import { followEvents, liveState, onLiveState, useIsLive } from '../api/events.ts';
import { type Me, may, type Role, useMe, useSignOut } from '../api/me.ts';
import { type Approval, mayAnswer } from '../pages/inbox/approval-types.ts';
import { ErrorNote, Loading } from '../ui/basics.tsx';
import { Icon, type IconName } from '../ui/icon.tsx';
import { handleKey, type Shortcut, useShortcuts } from '../ui/keyboard.ts';
import { Menu } from '../ui/menu.tsx';
import { Toasts } from '../ui/toast.tsx';
import { Untrusted } from '../ui/untrusted.tsx';
import { useApprovalNotifications } from './notifications.ts';
import { SignIn } from './sign-in.tsx';
import { applyTheme, storedTheme, type Theme } from './theme.ts';

const loadPalette = () => import('./palette.tsx').then(module => ({ default: module.Palette }));
const Palette = lazy(loadPalette);
const KeyboardHelp = lazy(() => import('./keyboard-help.tsx').then(module => ({ default: module.KeyboardHelp })));

export interface Destination {
  to: string;
  label: string;
  icon: IconName;
  keys: string;
  /** Who gets something to see there; nobody named: everybody. */
  roles: readonly Role[];
  group: 'work' | 'fleet' | 'rules' | 'proof';
}

const readers: readonly Role[] = ['viewer', 'operator', 'auditor'];

export const destinations: readonly Destination[] = [
  { to: '/overview', label: 'Overview', icon: 'overview', keys: 'g o', roles: readers, group: 'work' },
  { to: '/inbox', label: 'Inbox', icon: 'inbox', keys: 'g i', roles: [], group: 'work' },
  { to: '/sessions', label: 'Sessions', icon: 'sessions', keys: 'g s', roles: [], group: 'work' },
  { to: '/commands', label: 'Commands', icon: 'list', keys: 'g c', roles: [], group: 'work' },
  { to: '/resources', label: 'Resources', icon: 'resource', keys: 'g r', roles: [], group: 'fleet' },
  { to: '/agents', label: 'Agents', icon: 'agent', keys: 'g a', roles: readers, group: 'fleet' },
  { to: '/ssh-keys', label: 'SSH keys', icon: 'key', keys: 'g k', roles: [], group: 'fleet' },
  { to: '/policies/Role', label: 'Policies', icon: 'shield', keys: 'g p', roles: readers, group: 'rules' },
  { to: '/changes', label: 'Changes', icon: 'check', keys: 'g h', roles: readers, group: 'rules' },
  { to: '/workbench', label: 'Workbench', icon: 'flask', keys: 'g w', roles: readers, group: 'rules' },
  { to: '/data', label: 'Data map', icon: 'map', keys: 'g d', roles: ['auditor'], group: 'proof' },
  { to: '/evidence', label: 'Evidence', icon: 'seal', keys: 'g e', roles: ['auditor'], group: 'proof' },
];

const groupTitles = { work: '', fleet: 'Fleet', rules: 'Rules', proof: 'Proof' } as const;

export function Shell() {
  const me = useMe();
  useEffect(() => {
    addEventListener('keydown', handleKey);
    return () => removeEventListener('keydown', handleKey);
  }, []);
  if (me.isPending) return <Loading />;
  if (me.isError) {
    return (
      <div className="center">
        <ErrorNote error={me.error} retry={() => void me.refetch()} />
      </div>
    );
  }
  return me.data === null ? <SignIn /> : <SignedIn me={me.data} />;
}

function SignedIn({ me }: { me: Me }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [open, setOpen] = useState<'palette' | 'help' | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    followEvents(client, stop.signal);
    // Whoever presses its keys types on at once: it must not come late.
    void loadPalette();
    return () => stop.abort();
  }, [client]);
  useApprovalNotifications(me);
  const visible = destinations.filter(({ roles }) => roles.length === 0 || may(me, ...roles));
  const shortcuts: Shortcut[] = [
    { keys: 'mod+k', label: 'Search and commands', run: () => setOpen('palette'), whileTyping: true },
    { keys: '?', label: 'Keyboard help', run: () => setOpen('help') },
    ...visible.map(({ to, label, keys }): Shortcut => ({ keys, label: `Go to ${label}`, run: () => void navigate({ to }) })),
    { keys: 't', label: 'Switch between dark and light', run: switchTheme },
  ];
  useShortcuts(shortcuts);
  const path = useRouterState({ select: state => state.location.pathname });
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new page closes the navigation that lay over it
  useEffect(() => {
    const side = document.querySelector<HTMLElement>('.side');
    if (side) side.dataset['open'] = 'false';
  }, [path]);
  return (
    <div className="shell">
      <a className="visually-hidden" href="#main">
        Skip to the page
      </a>
      <nav className="side" aria-label="Pages">
        <Link to="/" className="brand">
          <img src="/console/icon.svg" alt="" />
          Sallyport
        </Link>
        {(['work', 'fleet', 'rules', 'proof'] as const).map(group => {
          const items = visible.filter(destination => destination.group === group);
          return (
            items.length > 0 && (
              <div key={group} className="col" style={{ gap: 2 }}>
                {groupTitles[group] !== '' && <div className="nav-group">{groupTitles[group]}</div>}
                {items.map(({ to, label, icon }) => (
                  <Link key={to} to={to} className="nav" activeProps={{ className: 'nav active' }} activeOptions={{ includeSearch: false }}>
                    <Icon name={icon} />
                    {label}
                    {to === '/inbox' && <Waiting me={me} />}
                  </Link>
                ))}
              </div>
            )
          );
        })}
        <div className="side-foot">
          <Live />
          <Account me={me} onHelp={() => setOpen('help')} onPalette={() => setOpen('palette')} />
        </div>
      </nav>
      <main className="main" id="main">
        <Suspense fallback={<Loading />}>
          <Outlet />
        </Suspense>
      </main>
      <Toasts />
      <Suspense fallback={null}>
        {open === 'palette' && <Palette destinations={visible} onClose={() => setOpen(null)} onHelp={() => setOpen('help')} />}
        {open === 'help' && <KeyboardHelp onClose={() => setOpen(null)} />}
      </Suspense>
    </div>
  );
}

/** How many wait for this very person. */
function Waiting({ me }: { me: Me }) {
  const live = useIsLive();
  const { data } = useQuery({
    queryKey: ['approvals', 'pending'],
    queryFn: ({ signal }) => api<{ approvals: Approval[] }>('/v1/approvals', { signal }),
    refetchInterval: live ? false : 5000,
  });
  const count = data?.approvals.filter(approval => mayAnswer(approval, me)).length ?? 0;
  return count === 0 ? null : (
    <span className="count" title={`${count} wait for you`}>
      {count}
    </span>
  );
}

function Live() {
  const state = useSyncExternalStore(onLiveState, liveState);
  const texts = { live: 'Live', connecting: 'Connecting …', lost: 'Not connected: what you see may be old' };
  return (
    <span className="live" data-state={state} role="status">
      {texts[state]}
    </span>
  );
}

function switchTheme(): void {
  const dark =
    getComputedStyle(document.documentElement).colorScheme === 'dark' ||
    (storedTheme() === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
  applyTheme(dark ? 'light' : 'dark');
}

function Account({ me, onHelp, onPalette }: { me: Me; onHelp: () => void; onPalette: () => void }) {
  const [theme, setTheme] = useState(storedTheme);
  const signOut = useSignOut();
  const choose = (next: Theme) => {
    setTheme(next);
    applyTheme(next);
  };
  return (
    <Menu
      label="Account and settings"
      icon={me.kind === 'person' ? 'user' : 'key'}
      quiet
      text={
        <span className="truncate" style={{ maxWidth: 130 }}>
          <Untrusted text={me.name} />
        </span>
      }
    >
      <div style={{ padding: '4px 8px' }}>
        <div className="truncate">
          <Untrusted text={me.name} />
        </div>
        <div className="softer">{me.roles.join(', ') || 'no roles'}</div>
      </div>
      <hr />
      {(['system', 'light', 'dark'] as const).map(each => (
        <button key={each} type="button" onClick={() => choose(each)} aria-pressed={theme === each}>
          <Icon name={each === 'system' ? 'screen' : each === 'light' ? 'sun' : 'moon'} />
          {each === 'system' ? 'As the system' : each === 'light' ? 'Light' : 'Dark'}
          {theme === each && <Icon name="check" />}
        </button>
      ))}
      <hr />
      <button type="button" onClick={onPalette}>
        <Icon name="search" /> Search and commands
      </button>
      <button type="button" onClick={onHelp}>
        <Icon name="info" /> Keyboard help
      </button>
      {may(me, ...readers) && (
        <Link to="/start">
          <Icon name="route" /> First steps
        </Link>
      )}
      <Link to="/docs">
        <Icon name="book" /> API reference
      </Link>
      <a href="/ca.crt" download="sallyport-ca.crt">
        <Icon name="download" /> CA certificate
      </a>
      <hr />
      <button type="button" onClick={() => void signOut()}>
        <Icon name="out" /> Sign out
      </button>
    </Menu>
  );
}
