/**
 * `GET /v1/events`: what happens, pushed to whoever may see it. Each event is judged for the caller when it happens, by the roles that
 * they have then; the stream ends when their sign-in does.
 */
import { setImmediate } from 'node:timers/promises';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { FeedPosition, LiveEvent } from '../../live/live-feed.ts';
import type { Owner } from '../../live/record-events.ts';
import { type Caller, callerOf, hasRole } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { EventStream } from '../event-stream.ts';
import * as schemas from '../schemas.ts';
import { securityHeaders } from '../security-headers.ts';
import { shown as shownAgent } from './agents.ts';
import { isVisible, shown as shownApproval } from './approvals.ts';
import { shown as shownChange } from './changes.ts';

const eventTypes = ['approval', 'change', 'session', 'agent', 'policy', 'command'] as const;
type EventType = (typeof eventTypes)[number];

const EventsQuery = Type.Object(
  {
    events: Type.Optional(
      Type.String({ pattern: '^[a-z]+(,[a-z]+)*$', maxLength: 100, description: `Only these: ${eventTypes.join(', ')}` }),
    ),
    session: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: 'Sessions and commands: only this session' })),
    resource: Type.Optional(Type.String({ minLength: 1, maxLength: 253, description: 'Sessions and commands: only on this resource' })),
  },
  { additionalProperties: false },
);

interface Filter {
  types: ReadonlySet<EventType>;
  session: string | undefined;
  resource: string | undefined;
}

const streamsMax = 1000;
const streamsOfOneMax = 8;
const beatMs = 10_000;
/** How soon a sign-in that has ended ends the stream. */
const checkMs = 2000;
/** Events that wait while what was missed is read. */
const waitingMax = 5000;
const eventsPerTurn = 100;

export function eventRoutes(context: ApiContext): FastifyPluginAsyncTypebox {
  return async app => {
    const streams = new Map<string, number>();
    let open = 0;
    const ends = new Set<() => void>();
    app.addHook('preClose', async () => {
      for (const end of ends) end();
    });

    app.route({
      method: 'GET',
      url: '/v1/events',
      exposeHeadRoute: false,
      schema: {
        operationId: 'watchEvents',
        tags: ['operations'],
        summary: 'Watch what happens, as server-sent events',
        description:
          'Events `approval`, `change`, `session`, `agent`, `policy` and `command`, each with the thing as it is now; first `hello`, which says whether the stream goes on from Last-Event-ID (`resumed`), and `skipped` with numbers when commands or sessions came too fast to show.',
        querystring: EventsQuery,
        response: { 200: Type.String({ contentMediaType: 'text/event-stream' }), default: schemas.Problem },
      },
      handler: async (request, reply) => {
        const caller = callerOf(request);
        const filter = filterOf(request.query);
        const from = positionOf(request.headers['last-event-id']);
        const owner = caller.type === 'admin' ? 'admin' : `${caller.principal.issuer} ${caller.principal.subject}`;
        if (open >= streamsMax || (streams.get(owner) ?? 0) >= streamsOfOneMax) throw new TooManyStreams();
        open++;
        streams.set(owner, (streams.get(owner) ?? 0) + 1);
        const watcher = new Watcher(context, app as unknown as FastifyInstance, request, filter);
        const end = () => watcher.end();
        ends.add(end);
        try {
          await watcher.subscribe();
        } catch (error) {
          release();
          throw error;
        }
        reply.hijack();
        const { raw } = reply;
        raw.on('close', () => {
          watcher.end();
          release();
        });
        raw.on('error', () => undefined); // The reader is gone: 'close' follows.
        raw.writeHead(200, {
          ...securityHeaders,
          'content-type': 'text/event-stream; charset=utf-8',
          'cache-control': 'no-store, no-transform',
          'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
          'x-accel-buffering': 'no',
          'x-request-id': request.id,
        });
        // Readers that are cut off together come back one after another.
        raw.write(`retry: ${1000 + Math.floor(Math.random() * 2000)}\n\n`);
        await watcher.run(new EventStream(raw), from);

        function release(): void {
          if (!ends.delete(end)) return;
          open--;
          const left = (streams.get(owner) ?? 1) - 1;
          if (left > 0) streams.set(owner, left);
          else streams.delete(owner);
        }
      },
    });
  };
}

class Watcher {
  readonly #context: ApiContext;
  readonly #app: FastifyInstance;
  readonly #request: FastifyRequest;
  readonly #filter: Filter;
  #unsubscribe: () => void = () => undefined;
  #stream: EventStream | null = null;
  #timers: NodeJS.Timeout[] = [];
  /** What came while the past was read; null afterwards. */
  #waiting: LiveEvent[] | null = [];
  #caller: Caller;
  #ended = false;
  readonly #gone = new AbortController();
  #subscribedAt: FeedPosition = { control: 0n, records: 0n };

  constructor(context: ApiContext, app: FastifyInstance, request: FastifyRequest, filter: Filter) {
    this.#context = context;
    this.#app = app;
    this.#request = request;
    this.#filter = filter;
    this.#caller = callerOf(request);
  }

  /** @throws {GatewayError} of the log. */
  async subscribe(): Promise<void> {
    const unsubscribe = await this.#context.live.subscribe(event => this.#take(event));
    if (this.#ended) unsubscribe();
    else this.#unsubscribe = unsubscribe;
    this.#subscribedAt = this.#context.live.position;
    this.#waiting = [];
  }

  async run(stream: EventStream, from: FeedPosition | null): Promise<void> {
    if (this.#ended) {
      stream.end();
      return;
    }
    this.#stream = stream;
    const { live, clock, logger } = this.#context;
    this.#timers = [
      setInterval(() => stream.beat(idOf(live.position), clock()), beatMs),
      setInterval(() => {
        this.#check().catch((error: unknown) => {
          logger.error({ err: errorText(error) }, 'a watcher’s sign-in could not be checked');
          this.end();
        });
      }, checkMs),
    ];
    let past: LiveEvent[] | null = null;
    try {
      past = from === null ? null : await live.between(from, this.#subscribedAt, this.#gone.signal);
    } catch (error) {
      logger.warn({ err: errorText(error) }, 'what a watcher missed cannot be read: they start anew');
    }
    if (this.#ended) return;
    stream.send('hello', idOf(this.#subscribedAt), JSON.stringify({ resumed: past !== null }), clock());
    let told = 0;
    // What comes meanwhile is appended to `#waiting`, and has its turn in the second round.
    for (const events of [past ?? [], this.#waiting ?? []]) {
      for (const event of events) {
        // Others are served in between, and that the watcher has left is noticed.
        if (++told % eventsPerTurn === 0) await setImmediate();
        if (this.#ended) return;
        this.#tell(event);
      }
    }
    this.#waiting = null;
  }

  end(): void {
    this.#ended = true;
    this.#gone.abort();
    this.#unsubscribe();
    for (const timer of this.#timers) clearInterval(timer);
    this.#stream?.end();
  }

  #take(event: LiveEvent): void {
    if (this.#waiting === null) this.#tell(event);
    else if (this.#waiting.length < waitingMax) this.#waiting.push(event);
    else this.end(); // It comes back and goes on from where it was.
  }

  #tell(event: LiveEvent): void {
    const stream = this.#stream;
    if (stream === null || !stream.isOpen || !this.#filter.types.has(event.type)) return;
    const caller = this.#callerAtOnce();
    if (caller === null) {
      this.end();
      return;
    }
    if (!isOfInterest(event, this.#filter) || !sees(this.#context, caller, event)) return;
    const data = dataOf(this.#context, event);
    if (data === undefined) return;
    const { live, clock } = this.#context;
    stream.send(event.type, idOf(live.position), JSON.stringify(data), clock());
    if (!stream.isOpen) {
      this.#context.logger.info({ ip: this.#request.clientAddress }, 'a watcher did not read its events and was dropped');
      this.end();
    }
  }

  /** Roles are those of this moment; whether the sign-in lasts is known to the last check. */
  #callerAtOnce(): Caller | null {
    const caller = this.#caller;
    if (caller.type === 'admin') return caller;
    if (this.#context.clock() >= caller.expiresAtMs) return null;
    const principal = this.#context.control.state.asInDirectory(caller.verified);
    return { ...caller, principal, roles: this.#context.accessRoles.of(principal) };
  }

  async #check(): Promise<void> {
    const caller = await this.#app.callerNow(this.#request);
    if (caller === null || this.#stream?.isOpen !== true) this.end();
    else this.#caller = caller;
  }
}

/** @throws {GatewayError} EVENT_TYPE_UNKNOWN. */
function filterOf({ events, session, resource }: { events?: string; session?: string; resource?: string }): Filter {
  const asked = events?.split(',') ?? [...eventTypes];
  const types = eventTypes.filter(each => asked.includes(each));
  const unknown = asked.find(each => !eventTypes.some(known => known === each));
  if (unknown !== undefined) {
    throw new GatewayError('EVENT_TYPE_UNKNOWN', 'invalid', `There are no \`${unknown}\` events; there are ${eventTypes.join(', ')}.`);
  }
  return { types: new Set(types), session, resource };
}

function idOf({ control, records }: FeedPosition): string {
  return `${control}.${records}`;
}

/** Null for what is no id of ours: the stream then begins at the present. */
function positionOf(id: string | string[] | undefined): FeedPosition | null {
  const match = typeof id === 'string' ? /^(\d{1,19})\.(\d{1,19})$/.exec(id) : null;
  return match?.[1] === undefined || match[2] === undefined ? null : { control: BigInt(match[1]), records: BigInt(match[2]) };
}

function isOfInterest(event: LiveEvent, { session, resource }: Filter): boolean {
  if (event.type !== 'session' && event.type !== 'command') return true;
  const about = event.type === 'session' ? event.session : event.command;
  return (session === undefined || about.sessionId === session) && (resource === undefined || about.resource === resource);
}

function sees({ control }: ApiContext, caller: Caller, event: LiveEvent): boolean {
  switch (event.type) {
    case 'approval':
      return isVisible(caller, control.state.approval(event.approvalId));
    case 'session':
      return hasRole(caller, 'viewer', 'operator', 'auditor') || isOwn(caller, event.owner);
    case 'command':
      return hasRole(caller, 'auditor') || isOwn(caller, event.owner);
    case 'change':
    case 'agent':
    case 'policy':
      return hasRole(caller, 'viewer', 'operator', 'auditor');
  }
}

function isOwn(caller: Caller, { principal, issuer }: Owner): boolean {
  return caller.type === 'principal' && principal === caller.principal.name && issuer !== '' && issuer === caller.principal.issuer;
}

/** @returns undefined when there is nothing to show any more. */
function dataOf(context: ApiContext, event: LiveEvent): unknown {
  const { state } = context.control;
  switch (event.type) {
    case 'approval':
      return shownApproval(event.approvalId, state.approval(event.approvalId), state)[0];
    case 'change':
      return shownChange(event.changeId, state.change(event.changeId), state)[0];
    case 'session':
      return event.session;
    case 'command':
      return event.command;
    case 'agent': {
      const agent = state.agent(event.agentId);
      return agent.status === 'unknown' ? undefined : shownAgent(context, event.agentId, agent);
    }
    case 'policy': {
      const { kind, name } = event;
      const stored = state.manifest(kind, name);
      if (stored === undefined) return { kind, name, change: 'deleted' };
      const { version, updatedAtMs, author } = stored;
      return { kind, name, change: 'applied', version: Number(version), updatedAt: new Date(updatedAtMs).toISOString(), author };
    }
  }
}

export class TooManyStreams extends Error {
  readonly code = 'STREAMS_TOO_MANY';
  readonly statusCode = 429;

  constructor() {
    super(`Too many event streams are open: one principal may have ${streamsOfOneMax}. Close one, or share one between tabs.`);
  }
}
