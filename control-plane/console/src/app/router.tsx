/** Every page's address. Pages are loaded when they are first opened; what they show is in their address. */
import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router';
import { HomePage } from '../pages/home.tsx';
import { ErrorNote } from '../ui/basics.tsx';
import { NotFound } from './not-found.tsx';
import { Shell } from './shell.tsx';

const root = createRootRoute({
  component: Shell,
  notFoundComponent: NotFound,
  errorComponent: ({ error, reset }) => <ErrorNote error={error} retry={reset} />,
});

const text = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : typeof value === 'number' ? String(value) : undefined;
const optional =
  <Name extends string>(names: readonly Name[]) =>
  (search: Record<string, unknown>) =>
    Object.fromEntries(names.flatMap(name => (text(search[name]) === undefined ? [] : [[name, text(search[name])]]))) as {
      [Key in Name]?: string;
    };

const home = createRoute({
  getParentRoute: () => root,
  path: '/',
  component: HomePage,
});
const inbox = createRoute({
  getParentRoute: () => root,
  path: '/inbox',
  component: lazyRouteComponent(() => import('../pages/inbox/inbox.tsx'), 'InboxPage'),
});
const approval = createRoute({ getParentRoute: () => inbox, path: '$id' });
const sessions = createRoute({
  getParentRoute: () => root,
  path: '/sessions',
  validateSearch: optional(['q', 'cols', 'tail']),
  component: lazyRouteComponent(() => import('../pages/sessions/sessions.tsx'), 'SessionsPage'),
});
const commands = createRoute({
  getParentRoute: () => root,
  path: '/commands',
  validateSearch: optional(['q', 'cols', 'tail']),
  component: lazyRouteComponent(() => import('../pages/sessions/sessions.tsx'), 'CommandsPage'),
});
const session = createRoute({
  getParentRoute: () => root,
  path: '/sessions/$id',
  validateSearch: optional(['seq', 'find', 'only', 'view']),
  component: lazyRouteComponent(() => import('../pages/session/session.tsx'), 'SessionPage'),
});
const overview = createRoute({
  getParentRoute: () => root,
  path: '/overview',
  component: lazyRouteComponent(() => import('../pages/overview.tsx'), 'OverviewPage'),
});
const resources = createRoute({
  getParentRoute: () => root,
  path: '/resources',
  component: lazyRouteComponent(() => import('../pages/resources.tsx'), 'ResourcesPage'),
});
const agents = createRoute({
  getParentRoute: () => root,
  path: '/agents',
  validateSearch: optional(['invite']),
  component: lazyRouteComponent(() => import('../pages/agents.tsx'), 'AgentsPage'),
});
const sshKeys = createRoute({
  getParentRoute: () => root,
  path: '/ssh-keys',
  component: lazyRouteComponent(() => import('../pages/ssh-keys/ssh-keys.tsx'), 'SshKeysPage'),
});
const policies = createRoute({
  getParentRoute: () => root,
  path: '/policies/$kind',
  component: lazyRouteComponent(() => import('../pages/policies/policies.tsx'), 'PoliciesPage'),
});
const policy = createRoute({
  getParentRoute: () => root,
  path: '/policies/$kind/$name',
  validateSearch: optional(['view']),
  component: lazyRouteComponent(() => import('../pages/policies/policy.tsx'), 'PolicyPage'),
});
const changes = createRoute({
  getParentRoute: () => root,
  path: '/changes',
  component: lazyRouteComponent(() => import('../pages/changes/changes.tsx'), 'ChangesPage'),
});
const change = createRoute({ getParentRoute: () => changes, path: '$id' });
const workbench = createRoute({
  getParentRoute: () => root,
  path: '/workbench',
  validateSearch: optional(['tab']),
  component: lazyRouteComponent(() => import('../pages/workbench.tsx'), 'WorkbenchPage'),
});
const data = createRoute({
  getParentRoute: () => root,
  path: '/data',
  validateSearch: optional(['resource', 'show', 'find']),
  component: lazyRouteComponent(() => import('../pages/data-map.tsx'), 'DataMapPage'),
});
const evidence = createRoute({
  getParentRoute: () => root,
  path: '/evidence',
  component: lazyRouteComponent(() => import('../pages/evidence.tsx'), 'EvidencePage'),
});
/** Parameters of the question stand in the address. */
const question = createRoute({
  getParentRoute: () => evidence,
  path: '$name',
  validateSearch: (search: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(search).filter((entry): entry is [string, string] => typeof entry[1] === 'string')) as Record<
      string,
      string
    >,
});
const custody = createRoute({
  getParentRoute: () => root,
  path: '/custody',
  validateSearch: optional(['view', 'session', 'person', 'resource', 'from', 'to']),
  component: lazyRouteComponent(() => import('../pages/custody/custody.tsx'), 'CustodyPage'),
});
const start = createRoute({
  getParentRoute: () => root,
  path: '/start',
  component: lazyRouteComponent(() => import('../pages/start.tsx'), 'StartPage'),
});
const docs = createRoute({
  getParentRoute: () => root,
  path: '/docs',
  component: lazyRouteComponent(() => import('../pages/docs.tsx'), 'DocsPage'),
});

const routeTree = root.addChildren([
  home,
  inbox.addChildren([approval]),
  sessions,
  commands,
  session,
  overview,
  resources,
  agents,
  sshKeys,
  policies,
  policy,
  changes.addChildren([change]),
  workbench,
  data,
  evidence.addChildren([question]),
  custody,
  start,
  docs,
]);

export const router = createRouter({
  routeTree,
  defaultPreload: 'intent',
  scrollRestoration: false,
  defaultPendingMinMs: 0,
  // Plain texts, as people write and read them in an address: no JSON in it.
  parseSearch: search => Object.fromEntries(new URLSearchParams(search)),
  stringifySearch: search => {
    const given = Object.entries(search).flatMap(([name, value]) => (typeof value === 'string' && value !== '' ? [[name, value]] : []));
    const written = new URLSearchParams(given).toString().replaceAll('%3A', ':').replaceAll('%40', '@').replaceAll('%2C', ',');
    return written === '' ? '' : `?${written}`;
  },
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
