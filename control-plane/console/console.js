/** The console: signs in, and keeps one page up to date with what the API says. */
import { ApiError, api, token } from './api.js';
import { agentsTable, commandsTable, resourceCards, sessionDetails, sessionsTable, summaryText } from './views.js';

const refreshMs = 3000;
const byId = id => document.getElementById(id);
let timer = null;

function show(view) {
  byId('sign-in').hidden = view !== 'sign-in';
  byId('overview').hidden = view !== 'overview';
  byId('sign-out').hidden = view !== 'overview';
  if (view === 'sign-in') byId('token').focus();
}

function notice(text) {
  byId('notice').textContent = text;
  byId('notice').hidden = text === '';
}

async function refresh() {
  clearTimeout(timer);
  try {
    const [status, { resources }, { agents }, { sessions, store }, { commands }] = await Promise.all([
      api('/v1/status'),
      api('/v1/resources'),
      api('/v1/agents'),
      api('/v1/sessions?limit=20'),
      api('/v1/commands?limit=30'),
    ]);
    byId('summary').textContent = summaryText(status);
    byId('resources').replaceChildren(...resourceCards(resources));
    byId('agents').replaceChildren(agentsTable(agents));
    byId('sessions').replaceChildren(sessionsTable(sessions, { open: openSession, kill: killSession }));
    byId('commands').replaceChildren(commandsTable(commands));
    notice(store.status === 'down' ? store.detail : '');
    show('overview');
  } catch (error) {
    if (error instanceof ApiError && (error.status === 401 || error.status === 403))
      return signOut('The token is not the administrator’s, or not any more.');
    notice(error instanceof ApiError ? error.message : 'The control plane does not answer. What is shown may be old.');
  }
  if (token.get() !== null && !document.hidden) timer = setTimeout(refresh, refreshMs);
}

function signOut(message = '') {
  clearTimeout(timer);
  token.clear();
  byId('summary').textContent = '';
  byId('sign-in-error').textContent = message;
  for (const id of ['resources', 'agents', 'sessions', 'commands', 'session-body']) byId(id).replaceChildren();
  byId('session').close();
  show('sign-in');
}

async function openSession(id) {
  try {
    const { session, commands, store } = await api(`/v1/sessions/${encodeURIComponent(id)}`);
    byId('session-title').textContent = `${session.principal || 'nobody known'} on ${session.resource || 'no resource'}`;
    byId('session-body').replaceChildren(...sessionDetails(session, commands, store));
    byId('session').showModal();
  } catch (error) {
    notice(error.message);
  }
}

async function killSession(session) {
  if (!confirm(`End the session of ${session.principal} on ${session.resource}?`)) return;
  try {
    await api(`/v1/sessions/${encodeURIComponent(session.sessionId)}/kill`, { method: 'POST', body: { reason: 'ended in the console' } });
  } catch (error) {
    notice(error.message);
  }
  await refresh();
}

byId('sign-in-form').addEventListener('submit', event => {
  event.preventDefault();
  token.set(byId('token').value.trim());
  byId('token').value = '';
  byId('sign-in-error').textContent = '';
  refresh();
});
byId('sign-out').addEventListener('click', () => signOut());
byId('session-close').addEventListener('click', () => byId('session').close());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && token.get() !== null) refresh();
});

// A link may bring the token behind the `#`, which no server sees; it leaves the address line at once.
const brought = new URLSearchParams(location.hash.slice(1)).get('token');
if (brought !== null) {
  token.set(brought);
  history.replaceState(null, '', location.pathname);
}
if (token.get() === null) show('sign-in');
else refresh();
