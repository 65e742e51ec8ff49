/**
 * The gRPC port: binds the services of proto/sallyport/agent/v1 to what does the work. Authentication happens here, at the top of
 * every handler, before anything of a message is looked at.
 */
import { create } from '@bufbuild/protobuf';
import {
  type handleBidiStreamingCall,
  type handleUnaryCall,
  logVerbosity,
  Server,
  type ServerDuplexStream,
  type ServiceDefinition,
  setLogVerbosity,
  type UntypedHandleCall,
} from '@grpc/grpc-js';
import {
  type AgentMessage,
  AgentService,
  type ControlMessage,
  EnrolmentService,
  type JoinRequest,
  type JoinResponse,
  type RelayAck,
  RelayAckSchema,
  type RenewRequest,
  type RenewResponse,
} from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import type { RecordBatch } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { serviceDefinition } from '@sallyport/proto/service-definition.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Logger } from 'pino';
import { agentAggregate } from '../aggregates/agent.ts';
import { action, type ControlLog } from '../aggregates/control-log.ts';
import type { CheckpointDesk } from '../evidence/checkpoint-desk.ts';
import type { Authority } from '../pki/authority.ts';
import { AgentConnection } from './agent-connection.ts';
import { type AgentIdentity, authenticateAgent, copied, revoked, unauthenticated } from './agent-identity.ts';
import type { ApprovalDesk } from './approval-desk.ts';
import { AgentFacingCredentials } from './credentials.ts';
import type { Enrolment } from './enrolment.ts';
import type { Fleet } from './fleet.ts';
import type { Relay } from './relay.ts';
import { toStatus } from './status.ts';

export interface GrpcServerOptions {
  /** host:port; port 0 takes a free one. */
  listen: string;
  /** Names and addresses in the server's certificate. */
  hostnames: readonly string[];
  control: ControlLog;
  authority: Authority;
  enrolment: Enrolment;
  fleet: Fleet;
  relay: Relay;
  approvals: ApprovalDesk;
  checkpoints: CheckpointDesk;
  logger: Logger;
  clock: () => number;
}

export interface GrpcServer {
  /** host:port that is bound. */
  readonly address: string;
  close(): Promise<void>;
}

const messageBytesMax = 24 * 1024 * 1024;
/** Batches of one stream that are on their way to the disk; then the agent waits. */
const relayWindow = 16;
/** How long this replica may be behind another. */
const catchUpMs = 5_000;
/** How long the process before may take to show that it is there, when another comes with its certificate. */
const aliveWithinMs = 5_000;
const certificateLifetimeMs = 30 * 24 * 60 * 60 * 1000;
const certificateRenewalMs = 10 * 24 * 60 * 60 * 1000;

/** @throws {GatewayError} LISTEN_FAILED when the address is taken or not this machine's. */
export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  setLogVerbosity(logVerbosity.NONE); // What goes wrong comes back as errors; the library's own lines are not JSON.
  const { authority, hostnames, logger } = options;
  const credentials = new AgentFacingCredentials(authority.caPem, await authority.issueServer(hostnames, certificateLifetimeMs));
  const server = new Server({
    'grpc.max_receive_message_length': messageBytesMax,
    'grpc.max_send_message_length': -1,
    'grpc.keepalive_time_ms': 20_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc.max_concurrent_streams': 100,
  });
  const handlers = new Handlers(options);
  server.addService(serviceDefinition(EnrolmentService) as unknown as ServiceDefinition, handlers.enrolment);
  server.addService(serviceDefinition(AgentService) as unknown as ServiceDefinition, handlers.agent);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(options.listen, credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(listenFailed(options.listen, error)),
    );
  });
  const renewal = setInterval(() => {
    authority.issueServer(hostnames, certificateLifetimeMs).then(
      identity => credentials.renew(identity),
      (error: unknown) => logger.error({ err: errorText(error) }, 'the server certificate could not be renewed'),
    );
  }, certificateRenewalMs);
  renewal.unref();
  return {
    address: `${options.listen.slice(0, options.listen.lastIndexOf(':'))}:${port}`,
    async close() {
      clearInterval(renewal);
      options.fleet.close();
      await new Promise<void>(resolve => {
        const force = setTimeout(() => {
          server.forceShutdown();
          resolve();
        }, 1000);
        server.tryShutdown(() => {
          clearTimeout(force);
          resolve();
        });
      });
    },
  };
}

class Handlers {
  readonly #options: GrpcServerOptions;
  readonly enrolment: Record<string, UntypedHandleCall>;
  readonly agent: Record<string, UntypedHandleCall>;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    const join: handleUnaryCall<JoinRequest, JoinResponse> = (call, reply) => {
      this.#answer('Join', options.enrolment.join(call.request, call.getPeer()), reply);
    };
    const renew: handleUnaryCall<RenewRequest, RenewResponse> = (call, reply) => {
      this.#answer(
        'Renew',
        this.#identify(call).then(identity => options.enrolment.renew(call.request, identity)),
        reply,
      );
    };
    const connect: handleBidiStreamingCall<AgentMessage, ControlMessage> = call => {
      this.#identify(call).then(
        identity => (call.cancelled ? undefined : this.#connect(call, identity)),
        (error: unknown) => this.#fail('Connect', call, error),
      );
    };
    const relay: handleBidiStreamingCall<RecordBatch, RelayAck> = call => {
      this.#identify(call).then(
        identity => (call.cancelled ? undefined : this.#relay(call, identity)),
        (error: unknown) => this.#fail('Relay', call, error),
      );
    };
    this.enrolment = { join };
    this.agent = { renew, connect, relay };
  }

  #authenticate(call: Parameters<typeof authenticateAgent>[0]): AgentIdentity {
    return authenticateAgent(call, this.#options.control.state, this.#options.clock());
  }

  /** Who calls; a certificate that is not known here may have been issued by another replica a moment ago. */
  async #identify(call: Parameters<typeof authenticateAgent>[0]): Promise<AgentIdentity> {
    try {
      return this.#authenticate(call);
    } catch (error) {
      if (!(error instanceof GatewayError && error.code === 'AGENT_UNAUTHENTICATED')) throw error;
      // Nobody without a certificate of ours makes us ask the log.
      if (call.getAuthContext().sslPeerCertificate === undefined) throw error;
      await this.#options.control.catchUp(catchUpMs);
      return this.#authenticate(call);
    }
  }

  #answer<Response>(
    method: string,
    work: Promise<Response>,
    reply: (error: ReturnType<typeof toStatus> | null, value?: Response) => void,
  ): void {
    work.then(
      value => reply(null, value),
      (error: unknown) => {
        this.#log(method, error);
        reply(toStatus(error));
      },
    );
  }

  #connect(call: ServerDuplexStream<AgentMessage, ControlMessage>, identity: AgentIdentity): void {
    const { fleet, clock, approvals, checkpoints, control, logger } = this.#options;
    const { agentId } = identity;
    let ended = false;
    const finish = (error: unknown) => {
      if (ended) return;
      ended = true;
      clearTimeout(expiry);
      fleet.disconnect(connection);
      if (error === null) call.end();
      else this.#fail('Connect', call, error);
    };
    const overflow = () =>
      finish(
        new GatewayError(
          'AGENT_TOO_SLOW',
          'unavailable',
          'The agent does not read its control stream: connect again for the present state.',
        ),
      );
    const connection = new AgentConnection(identity, call, clock(), overflow);
    // A stream does not outlive the certificate that opened it: the agent comes back with its renewed one.
    const expiry = setTimeout(() => finish(unauthenticated()), Math.min(identity.certificateNotAfterMs - clock(), 2 ** 31 - 1));
    const admitted = async (sharedDigest: string, leaseVersion: bigint, live: ReadonlySet<string>) => {
      await this.#admit(connection);
      this.#authenticate(call); // Revoked meanwhile?
      if (ended) return;
      isAdmitted = true;
      fleet.connect(connection, why => {
        if (why === 'stopping') finish(null);
        else if (why === 'revoked') finish(revoked());
        else finish(new GatewayError('AGENT_REPLACED', 'conflict', 'Another connection of this agent took over.'));
      });
      logger.info({ agentId, agent: identity.agent.details.name, address: identity.address }, 'agent connected');
      // An agent that comes from another replica may have seen more of the log than this one.
      void control.reach(leaseVersion, catchUpMs).then(() => fleet.greeted(connection, sharedDigest));
      approvals.agentReturned(identity, live).catch((error: unknown) => this.#log('Hello', error));
      call.resume();
    };
    let greeted = false;
    let isAdmitted = false;
    call.on('data', (message: AgentMessage) => {
      if (!greeted) {
        if (message.body.case !== 'hello') return;
        greeted = true;
        call.pause();
        connection.receive(message, clock());
        const { sharedDigest, leaseVersion, sessions } = message.body.value;
        const live = new Set(sessions.map(({ sessionId }) => sessionId));
        admitted(Buffer.from(sharedDigest).toString('hex'), leaseVersion, live).catch(finish);
        return;
      }
      if (!isAdmitted) return; // It has been refused.
      connection.receive(message, clock());
      const { case: kind } = message.body;
      if (kind === 'health' || kind === 'leaseAck') fleet.heardOf(agentId);
      if (message.body.case === 'leaseWanted') {
        logger.warn({ agentId, why: message.body.value.reason.slice(0, 300) }, 'an agent could not apply a difference');
        fleet.leaseWanted(connection);
      } else if (message.body.case === 'approvalRequested') {
        approvals.requested(identity, message.body.value).catch((error: unknown) => this.#log('ApprovalRequested', error));
      } else if (message.body.case === 'approvalWithdrawn') {
        approvals.withdrawn(identity, message.body.value).catch((error: unknown) => this.#log('ApprovalWithdrawn', error));
      } else if (message.body.case === 'checkpointed') {
        try {
          checkpoints.received(identity, message.body.value, (ledger, number) =>
            connection.send({
              case: 'checkpointLogged',
              value: { $typeName: 'sallyport.agent.v1.CheckpointLogged', ledger, number: BigInt(number) },
            }),
          );
        } catch (error) {
          this.#log('Checkpointed', error); // The agent keeps it and repeats it; nobody else's business is held up.
        }
      }
    });
    call.on('end', () => finish(null));
    call.on('cancelled', () => finish(null));
    call.on('error', (error: Error) => {
      if (!ended) logger.info({ agentId, err: errorText(error) }, 'agent’s control stream broke');
      finish(null);
    });
    call.on('close', () => finish(null));
  }

  /**
   * Lets one process speak for an agent. A second one beside it is refused; one that comes back after another had followed it shows that
   * both live, and the agent is revoked (aggregates/agent.ts).
   * @throws {GatewayError} AGENT_COPIED, AGENT_REVOKED.
   */
  async #admit({ identity, instance }: AgentConnection): Promise<void> {
    const { fleet, control, clock } = this.#options;
    const { agentId, address } = identity;
    const provenance = { author: `agent:${identity.agent.details.name}`, authorAddress: address, requestId: '' };
    const before = fleet.connection(agentId);
    if (before !== undefined && before.instance !== instance && (await before.isAlive(aliveWithinMs))) {
      const host = address.slice(0, address.lastIndexOf(':'));
      const reason = 'a second process came with the agent’s certificate while the first was there';
      await control.execute([action(agentAggregate, agentId, { type: 'copySeen', address: host, nowMs: clock() })], {
        ...provenance,
        reason,
      });
      throw copied();
    }
    const outcome = await control.execute([action(agentAggregate, agentId, { type: 'start', instance })], {
      ...provenance,
      reason: 'a process of the agent started',
    });
    if (!outcome.accepted || control.state.agent(agentId).status !== 'active') throw revoked();
  }

  #relay(call: ServerDuplexStream<RecordBatch, RelayAck>, identity: AgentIdentity): void {
    let inFlight = 0;
    let readEnded = false;
    let failed = false;
    const fail = (error: unknown) => {
      if (failed) return;
      failed = true;
      this.#fail('Relay', call, error);
    };
    call.on('data', (batch: RecordBatch) => {
      if (failed) return;
      try {
        this.#authenticate(call); // Revoked since the stream began?
        if (batch.agentId !== identity.agentId) {
          throw new GatewayError('RELAY_FOREIGN_BATCH', 'denied', 'A batch names another agent than the certificate does.');
        }
      } catch (error) {
        fail(error);
        return;
      }
      if (++inFlight >= relayWindow) call.pause();
      this.#options.relay.append(batch).then(
        nextIndex => {
          if (failed) return;
          call.write(create(RelayAckSchema, { spoolId: batch.spoolId, nextIndex }));
          if (--inFlight < relayWindow && call.isPaused()) call.resume();
          if (readEnded && inFlight === 0) call.end();
        },
        (error: unknown) => fail(error),
      );
    });
    call.on('end', () => {
      readEnded = true;
      if (inFlight === 0 && !failed) call.end();
    });
    call.on('cancelled', () => {
      failed = true;
    });
    call.on('error', () => {
      failed = true; // The agent went away; what was taken is in the log, and the rest it sends again.
    });
  }

  #fail(
    method: string,
    call: ServerDuplexStream<never, never> | ServerDuplexStream<AgentMessage, ControlMessage> | ServerDuplexStream<RecordBatch, RelayAck>,
    error: unknown,
  ): void {
    this.#log(method, error);
    // Not destroy(): the library answers an error event with the status, and a destroyed stream with none.
    call.emit('error', toStatus(error));
  }

  #log(method: string, error: unknown): void {
    const { logger } = this.#options;
    if (error instanceof GatewayError && error.kind !== 'internal') logger.warn({ method, code: error.code }, error.message);
    else logger.error({ method, err: error }, 'gRPC call failed');
  }
}

function listenFailed(listen: string, cause: Error): GatewayError {
  return new GatewayError(
    'LISTEN_FAILED',
    'conflict',
    `The gRPC port ${listen} cannot be bound: it is in use, or the address is not this machine’s.`,
    { cause },
  );
}
