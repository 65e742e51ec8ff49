/**
 * Searching what was recorded, in the query language of shared/search. Sessions are for whoever runs the place, commands for auditors;
 * everybody else sees their own, whatever they ask.
 */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { queryCharactersMax } from '@sallyport/shared/search/query.ts';
import { type PostgresAnswer, postgresAnswer } from '@sallyport/shared/wire/postgres-answer.ts';
import { Type } from 'typebox';
import { whyGone } from '../../evidence/contents.ts';
import { type Caller, callerOf, hasRole } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import * as schemas from '../schemas.ts';
import type { SearchScope } from '../search-sql.ts';
import { type CommandRow, ofSession } from '../session-history.ts';
import { searchCommands, searchSessions } from '../session-search.ts';
import { shownCommand, shownPast } from './sessions.ts';

const SearchQuery = Type.Object(
  {
    q: Type.Optional(Type.String({ maxLength: queryCharactersMax, description: 'docs/reference/search.md' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
    cursor: Type.Optional(Type.String({ maxLength: 200, description: '`next` of the page before' })),
  },
  { additionalProperties: false },
);

const CommandId = Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }), seq: Type.String({ pattern: '^\\d{1,15}$' }) });

interface DetailRow extends CommandRow {
  protocol: string;
  response_head_base64: string;
  parameters: string[];
  columns_read: string[];
  inferences: string[];
  fingerprint: string;
  error_text: string;
  tag: string;
  approval_id: string;
  response_columns: string[];
  response_head: string;
  response_head_truncated: boolean;
  response_sha256: string;
  text_truncated: boolean;
  policy_version: number;
  held_us: number;
}

const detailColumns =
  'session_id, seq, at, resource, principal, kind, text, statements, objects, decision, rule, reason, status, error_code, rows, bytes, masked_values, data_classes, duration_us, approvers, parameters, columns_read, inferences, fingerprint, error_text, tag, approval_id, response_columns, response_head, response_head_truncated, response_sha256, text_truncated, policy_version, held_us, protocol, base64Encode(response_head) AS response_head_base64';

export function searchRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  const { contents, fleet, history, clock } = context;
  const scopeOf = (caller: Caller): SearchScope => {
    const own = caller.type === 'admin' ? undefined : { principal: caller.principal.name, issuer: caller.principal.issuer };
    return {
      own: hasRole(caller, 'viewer', 'operator', 'auditor') ? undefined : own,
      ownCommands: hasRole(caller, 'auditor') ? undefined : own,
      liveIds: fleet.liveSessions().map(({ sessionId }) => sessionId),
    };
  };
  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/search/sessions',
      config: { access: 'principal' },
      schema: {
        operationId: 'searchSessions',
        tags: ['sessions'],
        summary: 'Search sessions, the newest first',
        querystring: SearchQuery,
        response: {
          200: Type.Object({ sessions: Type.Array(schemas.Session), next: Type.Optional(Type.String()) }),
          default: schemas.Problem,
        },
      },
      handler: async request => {
        const { q = '', limit = 100, cursor } = request.query;
        const scope = scopeOf(callerOf(request));
        const { rows, next } = await searchSessions(history, { query: q, limit, cursor, nowMs: clock() }, scope);
        const live = new Set(scope.liveIds);
        const sessions = rows.map(row => {
          const session = shownPast(row);
          if (live.has(row.session_id)) return { ...session, live: true, status: 'live' };
          // Its agent is gone, and nobody has recorded its end.
          return session.status === 'live' ? { ...session, status: 'unknown' } : session;
        });
        return { sessions, ...(next === undefined ? {} : { next }) };
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/search/commands',
      config: { access: 'principal' },
      schema: {
        operationId: 'searchCommands',
        tags: ['sessions'],
        summary: 'Search commands, the newest first',
        querystring: SearchQuery,
        response: {
          200: Type.Object({ commands: Type.Array(schemas.RecordedCommand), next: Type.Optional(Type.String()) }),
          default: schemas.Problem,
        },
      },
      handler: async request => {
        const { q = '', limit = 100, cursor } = request.query;
        const { rows, next } = await searchCommands(history, { query: q, limit, cursor, nowMs: clock() }, scopeOf(callerOf(request)));
        return { commands: rows.map(shownCommand), ...(next === undefined ? {} : { next }) };
      },
    });

    app.route({
      method: 'GET',
      url: '/v1/sessions/:id/commands/:seq',
      config: { access: 'principal' },
      schema: {
        operationId: 'showCommand',
        tags: ['sessions'],
        summary: 'Show one command with what came back, masked as the client got it',
        params: CommandId,
        response: { 200: schemas.CommandDetails, default: schemas.Problem },
      },
      handler: async request => {
        const { id, seq } = request.params;
        const { ownCommands } = scopeOf(callerOf(request));
        const own = ownCommands === undefined ? '' : 'AND principal = {principal:String} AND issuer = {issuer:String}';
        const [row] = await history.rows<DetailRow>(
          `SELECT ${detailColumns} FROM sallyport.commands WHERE ${ofSession('id')} AND seq = {seq:UInt64} ${own} LIMIT 1`,
          { id, seq, ...ownCommands },
        );
        if (row === undefined)
          throw new GatewayError('COMMAND_UNKNOWN', 'notFound', 'There is no such command, or its record is still on its way.');
        const found = await contents.of(id);
        if (found.state === 'sealed') unseal(row, await contents.ofCommand(id, Number(seq), found.key));
        const contentsGone = whyGone(found);
        return {
          ...shownCommand(row),
          ...{ parameters: row.parameters, columnsRead: row.columns_read, inferences: row.inferences, fingerprint: row.fingerprint },
          ...{ errorText: row.error_text, tag: row.tag, approvalId: row.approval_id, responseColumns: row.response_columns },
          ...{ responseHead: row.response_head, responseHeadTruncated: row.response_head_truncated, responseSha256: row.response_sha256 },
          ...(contentsGone === null ? {} : { contentsGone }),
          ...(row.protocol === 'postgres' ? { answer: answerOf(row) } : {}),
          ...{ protocol: row.protocol, textTruncated: row.text_truncated, policyVersion: row.policy_version, heldUs: row.held_us },
        };
      },
    });
  };
}

/** Puts into a row what only the sealed records have. */
function unseal(row: DetailRow, { command, response }: Awaited<ReturnType<ApiContext['contents']['ofCommand']>>): void {
  if (command !== undefined) row.parameters = command.parameters;
  if (response === undefined) return;
  const head = Buffer.from(response.head);
  row.response_head = head.toString('utf8');
  row.response_head_base64 = head.toString('base64');
  row.response_sha256 = Buffer.from(response.sha256).toString('hex');
  row.error_text = response.errorText;
}

function answerOf(row: DetailRow): PostgresAnswer {
  return postgresAnswer(Buffer.from(row.response_head_base64, 'base64'), row.response_columns);
}
