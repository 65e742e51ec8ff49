/** What the API's answers look like. */
import { badge, copyLine, el, table, time } from './dom.js';

const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

export function summaryText(status) {
  const store = { up: 'session store up', down: 'session store down', none: 'no session store' }[status.store.status];
  return `${plural(status.agents.online, 'agent')} online · ${plural(status.liveSessions, 'live session')} · ${store}`;
}

export function resourceCards(resources) {
  if (resources.length === 0)
    return [el('p', { class: 'empty' }, 'No resources yet. Describe one in a manifest and apply it: sallyport apply -f DIR')];
  return resources.map(resource =>
    el(
      'article',
      { class: 'card' },
      el(
        'h3',
        {},
        resource.name,
        badge(resource.protocol),
        resource.address ? badge('served', 'good') : badge('not served', 'bad'),
        ...Object.entries(resource.labels).map(([key, value]) => badge(`${key}=${value}`)),
      ),
      resource.address
        ? el('div', {}, copyLine(`sallyport connect ${resource.name}`), copyLine(connectLine(resource)))
        : el('p', { class: 'empty' }, 'No connected agent listens for it.'),
      ...resource.problems.map(({ agent, reason }) => el('p', { class: 'error' }, `${agent}: ${reason}`)),
    ),
  );
}

function connectLine({ name, address, database }) {
  const colon = address.lastIndexOf(':');
  const bound = address.slice(0, colon).replace(/^\[|\]$/g, '');
  // Older clients verify names and not addresses.
  const host = bound === '127.0.0.1' || bound === '::1' ? 'localhost' : bound;
  return `PGPASSWORD=$(sallyport ticket ${name}) psql "host=${host} port=${address.slice(colon + 1)} dbname=${database ?? name} user=me sslmode=verify-full sslrootcert=sallyport-ca.crt"`;
}

export function agentsTable(agents) {
  const tones = { online: 'good', offline: 'bad', invited: 'wait', revoked: '' };
  return table(
    [
      { title: 'Agent', cell: agent => el('span', {}, agent.name || 'invited', el('span', { class: 'sub mono' }, agent.id)) },
      { title: 'State', cell: agent => badge(agent.status, tones[agent.status]) },
      { title: 'Version', cell: agent => agent.version },
      {
        title: 'Serves',
        cell: agent =>
          el(
            'span',
            {},
            ...Object.entries(agent.listeners).map(([name, address]) => el('span', { class: 'sub' }, `${name} on ${address}`)),
            ...Object.entries(agent.problems).map(([name, reason]) => el('span', { class: 'sub error' }, `${name}: ${reason}`)),
          ),
      },
      { title: 'Sessions', class: 'number', cell: agent => agent.sessions },
      { title: 'To deliver', class: 'number', cell: agent => agent.spoolRecords ?? '' },
      { title: 'Last seen', class: 'time', cell: agent => time(agent.lastSeenAt) },
    ],
    agents.toReversed(),
    'No agents yet. Invite one: sallyport agents invite',
  );
}

function statusBadge(session) {
  if (session.live) return badge('live', 'good');
  return badge(session.status, session.status === 'refused' ? 'bad' : '');
}

export function sessionsTable(sessions, { open, kill }) {
  return table(
    [
      { title: 'Started', class: 'time', cell: session => time(session.startedAt) },
      { title: 'Who', cell: session => el('span', {}, session.principal || '—', el('span', { class: 'sub' }, session.principalKind)) },
      { title: 'Resource', cell: session => session.resource },
      { title: 'From', class: 'mono', cell: session => session.clientAddress },
      {
        title: 'State',
        cell: session => el('span', {}, statusBadge(session), session.live ? null : el('span', { class: 'sub' }, session.endReason ?? '')),
      },
      { title: 'Commands', class: 'number', cell: session => session.commands },
      { title: 'Denied', class: 'number', cell: session => session.denied },
      { title: 'Masked', class: 'number', cell: session => session.maskedValues },
      {
        title: '',
        cell: session =>
          el(
            'span',
            {},
            el('button', { type: 'button', class: 'quiet small', onclick: () => open(session.sessionId) }, 'Show'),
            ' ',
            session.live && el('button', { type: 'button', class: 'danger small', onclick: () => kill(session) }, 'End'),
          ),
      },
    ],
    sessions,
    'No sessions yet.',
  );
}

const decisionTones = { allow: 'good', deny: 'bad', hold: 'wait' };

export function commandsTable(commands, withSession = true) {
  return table(
    [
      { title: 'At', class: 'time', cell: command => time(command.at) },
      ...(withSession
        ? [{ title: 'Who', cell: command => el('span', {}, command.principal, el('span', { class: 'sub' }, command.resource)) }]
        : []),
      {
        title: 'Command (masked)',
        class: 'text',
        cell: command =>
          el(
            'span',
            {},
            clipped(command.text),
            command.decision !== 'allow' && el('span', { class: 'sub' }, [command.rule, command.reason].filter(Boolean).join(': ')),
          ),
      },
      { title: 'Decision', cell: command => badge(command.decision, decisionTones[command.decision] ?? '') },
      {
        title: 'Status',
        cell: command => el('span', {}, command.status, command.errorCode && el('span', { class: 'sub' }, command.errorCode)),
      },
      { title: 'Rows', class: 'number', cell: command => command.rows },
      { title: 'Masked', class: 'number', cell: command => el('span', { title: command.dataClasses.join(', ') }, command.maskedValues) },
      { title: 'Took', class: 'number', cell: command => (command.durationUs === 0 ? '' : `${(command.durationUs / 1000).toFixed(1)} ms`) },
    ],
    commands,
    'No commands recorded yet.',
  );
}

function clipped(text) {
  return text.length > 600 ? `${text.slice(0, 600)} …` : text;
}

export function sessionDetails(session, commands, store) {
  const facts = [
    ['Session', session.sessionId],
    ['Principal', `${session.principal} (${session.principalKind})`],
    ['Groups', session.groups?.join(', ')],
    ['Acting for them', session.delegation?.join(' → ')],
    ['Role', session.role],
    ['Agent', session.agent],
    ['From', session.clientAddress],
    ['Started', session.startedAt],
    ['Ended', session.live ? 'still live' : `${session.endedAt ?? ''} ${session.endReason ?? ''}`],
    ['Refused with', session.code],
    ['Token', session.tokenId],
  ].filter(([, value]) => value);
  return [
    el('dl', {}, ...facts.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)])),
    store.status === 'down' ? el('p', { class: 'notice' }, store.detail) : el('div', { class: 'scroll' }, commandsTable(commands, false)),
  ];
}
