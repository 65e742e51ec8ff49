/**
 * Sessions, live and past, and their commands. A person sees their own; the administrator sees all. While the session store is down the
 * live ones are still shown, and the answer says that the rest is missing.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { AccessRole, Principal } from '@sallyport/shared/policy/model.ts';
import { Type } from 'typebox';
import type { LiveSessionView } from '../../grpc/agent-connection.ts';
import { type Caller, callerOf, hasRole, provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { emptyBodyAsNothing } from '../empty-body.ts';
import * as schemas from '../schemas.ts';
import type { CommandRow, SessionRow } from '../session-history.ts';
import { openElsewhere } from './open-elsewhere.ts';

const SessionId = Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) });
const commandsMax = 10_000;

const sessionReaders: readonly AccessRole[] = ['viewer', 'operator', 'auditor'];

type Store = { status: 'up' | 'down' | 'none'; detail?: string };

export function sessionRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const { fleet, history } = context;
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/sessions',
      config: { access: 'principal' },
      schema: {
        operationId: 'listSessions',
        tags: ['sessions'],
        summary: 'List sessions, the newest first',
        querystring: schemas.SessionsQuery,
        response: { 200: Type.Object({ sessions: Type.Array(schemas.Session), store: schemas.StoreAnswer }), default: schemas.Problem },
      },
      handler: async request => {
        const { limit = 50, live: onlyLive = false, ...asked } = request.query;
        const caller = callerOf(request);
        const own = ownOnly(caller, ...sessionReaders);
        const live = fleet
          .liveSessions()
          .filter(session => isVisible(caller, session))
          .filter(({ resource }) => asked.resource === undefined || resource === asked.resource)
          .filter(({ principal }) => asked.principal === undefined || principal === asked.principal)
          .filter(({ startedAtMs }) => asked.before === undefined || startedAtMs < Date.parse(asked.before));
        const { value: rows, store } = onlyLive
          ? { value: [], store: { status: history.isConfigured ? ('up' as const) : ('none' as const) } }
          : await orDegraded(context, () => history.sessions({ limit, ...asked, ...own }), []);
        const byId = new Map(rows.map(row => [row.session_id, row]));
        const merged = [
          ...live.map(session => shownLive(session, byId.get(session.sessionId))),
          ...rows.filter(row => !live.some(({ sessionId }) => sessionId === row.session_id)).map(shownPast),
        ];
        merged.sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
        return { sessions: merged.slice(0, limit), store };
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/sessions/:id',
      config: { access: 'principal' },
      schema: {
        operationId: 'showSession',
        tags: ['sessions'],
        summary: 'Show a session with its commands',
        params: SessionId,
        response: {
          200: Type.Object({ session: schemas.Session, commands: Type.Array(schemas.RecordedCommand), store: schemas.StoreAnswer }),
          default: schemas.Problem,
        },
      },
      handler: async request => {
        const { id } = request.params;
        const caller = callerOf(request);
        const live = fleet.liveSessions().find(({ sessionId }) => sessionId === id);
        const { value, store } = await orDegraded(
          context,
          async () => ({ row: await history.session(id), commands: await history.commandsOf(id, commandsMax) }),
          { row: null, commands: [] },
        );
        const { row, commands } = value;
        if (row === null && live === undefined && store.status !== 'up') {
          throw new GatewayError(
            'STORE_UNAVAILABLE',
            'unavailable',
            `The session is not live, and past ones cannot be read. ${store.detail ?? ''}`.trim(),
          );
        }
        // Whose it is, the records say; what an agent says now counts only while there are none.
        const owner = row ?? live;
        const visible = owner !== undefined && isVisible(caller, { principal: owner.principal }, owner.issuer);
        if (!visible) throw new GatewayError('SESSION_UNKNOWN', 'notFound', 'There is no such session.');
        const session = live !== undefined ? shownLive(live, row ?? undefined) : row !== null ? shownPast(row) : null;
        if (session === null) throw new GatewayError('SESSION_UNKNOWN', 'notFound', 'There is no such session.');
        // Who runs the place sees that a session is there; what was done in it is for its owner and the auditor.
        const seesCommands =
          caller.type === 'admin' ||
          hasRole(caller, 'auditor') ||
          (owner !== undefined && isOwn(caller.principal, { principal: owner.principal }, owner.issuer));
        return { session, commands: seesCommands ? commands.map(shownCommand) : [], store };
      },
    });

    app.route({
      method: 'POST',
      url: '/v1/sessions/:id/kill',
      config: { access: 'admin' },
      preValidation: emptyBodyAsNothing,
      schema: {
        operationId: 'killSession',
        tags: ['sessions'],
        summary: 'End a live session at once',
        params: SessionId,
        body: schemas.ReasonRequest,
        response: { 200: Type.Object({ killed: Type.Boolean() }), default: schemas.Problem },
      },
      handler: async request => {
        const { id } = request.params;
        const reason = request.body.reason ?? 'ended by an administrator';
        const live =
          fleet.liveSessions().find(({ sessionId }) => sessionId === id) ??
          (await orDegraded(context, () => openElsewhere(context, id), null)).value;
        if (live === null) throw new GatewayError('SESSION_UNKNOWN', 'notFound', 'No connected agent has a live session with this id.');
        // The event itself reaches the agent (fleet.ts): nobody's session ends unrecorded.
        const { principal, resource } = live;
        await context.administration.record(
          { type: 'SessionKilled', payload: { sessionId: id, principal, resource } },
          provenanceOf(request, reason),
        );
        request.log.info({ sessionId: id, ip: request.clientAddress }, 'session killed');
        return { killed: true };
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/commands',
      config: { access: 'principal' },
      schema: {
        operationId: 'listCommands',
        tags: ['sessions'],
        summary: 'List recorded commands, the newest first',
        querystring: schemas.HistoryQuery,
        response: {
          200: Type.Object({ commands: Type.Array(schemas.RecordedCommand), store: schemas.StoreAnswer }),
          default: schemas.Problem,
        },
      },
      handler: async request => {
        const { limit = 50, ...asked } = request.query;
        const own = ownOnly(callerOf(request), 'auditor');
        const { value, store } = await orDegraded(context, () => history.commands({ limit, ...asked, ...own }), []);
        return { commands: value.map(shownCommand), store };
      },
    });
  };
}

/** What is asked for is narrowed to the caller's own, whatever they ask, unless they have one of the roles. */
function ownOnly(caller: Caller, ...roles: AccessRole[]): { principal?: string; issuer?: string } {
  return caller.type === 'admin' || hasRole(caller, ...roles) ? {} : { principal: caller.principal.name, issuer: caller.principal.issuer };
}

/** Live sessions do not say their issuer: a person sees those of their name only when a single provider could have named it so. */
function isVisible(caller: Caller, { principal }: { principal: string }, issuer?: string): boolean {
  if (caller.type === 'admin' || hasRole(caller, ...sessionReaders)) return true;
  return isOwn(caller.principal, { principal }, issuer);
}

function isOwn(caller: Principal, { principal }: { principal: string }, issuer?: string): boolean {
  return principal === caller.name && (issuer === undefined || issuer === caller.issuer);
}

async function orDegraded<Value>(
  { history, logger }: ApiContext,
  ask: () => Promise<Value>,
  without: Value,
): Promise<{ value: Value; store: Store }> {
  if (!history.isConfigured) return { value: without, store: { status: 'none' } };
  try {
    return { value: await ask(), store: { status: 'up' } };
  } catch (error) {
    if (!(error instanceof GatewayError) || error.kind !== 'unavailable') throw error;
    logger.warn({ code: error.code }, error.message);
    return { value: without, store: { status: 'down', detail: 'The session store does not answer: only live sessions are shown.' } };
  }
}

function shownLive(session: LiveSessionView, row: SessionRow | undefined): schemas.Session {
  return {
    ...{ sessionId: session.sessionId, live: true, status: 'live', resource: session.resource, principal: session.principal },
    ...{ principalKind: session.principalKind, clientAddress: session.clientAddress, agent: session.agent, role: session.role },
    ...{ startedAt: new Date(session.startedAtMs).toISOString(), endedAt: null },
    ...(row === undefined ? {} : { protocol: row.protocol, tokenId: row.token_id, groups: row.groups, delegation: row.delegation }),
    ...{ commands: row?.commands ?? 0, denied: row?.denied ?? 0, maskedValues: row?.masked_values ?? 0 },
  };
}

export function shownPast(row: SessionRow): schemas.Session {
  return {
    ...{ sessionId: row.session_id, live: false, status: row.status, resource: row.resource, principal: row.principal },
    protocol: row.protocol,
    ...{ principalKind: row.principal_kind, clientAddress: row.client_address, agent: row.agent, role: row.role },
    ...{ startedAt: row.started_at, endedAt: row.ended_at, endReason: row.reason, tokenId: row.token_id },
    ...(row.code === '' ? {} : { code: row.code }),
    ...{ groups: row.groups, delegation: row.delegation },
    ...{ commands: row.commands, denied: row.denied, maskedValues: row.masked_values },
  };
}

export function shownCommand(row: CommandRow): schemas.RecordedCommand {
  return {
    ...{ sessionId: row.session_id, seq: row.seq, at: row.at, resource: row.resource, principal: row.principal, kind: row.kind },
    ...{ text: row.text, statements: row.statements, objects: row.objects, decision: row.decision, rule: row.rule, reason: row.reason },
    ...{ status: row.status, errorCode: row.error_code, rows: row.rows, bytes: row.bytes, maskedValues: row.masked_values },
    ...{ dataClasses: row.data_classes, durationUs: row.duration_us, approvers: row.approvers },
    ...(row.found === undefined ? {} : { output: { seq: row.found.seq, offsetMs: row.found.offset_ms, text: row.found.text } }),
  };
}
