/**
 * The control plane's gRPC services as an agent calls them: paths, serialisation, TLS. No retries and no state here.
 */
import { constants } from 'node:crypto';
import tls from 'node:tls';
import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import {
  type AgentMessage,
  AgentMessageSchema,
  AgentService,
  type ControlMessage,
  ControlMessageSchema,
  EnrolmentService,
  type JoinRequest,
  JoinRequestSchema,
  type JoinResponse,
  JoinResponseSchema,
  type RelayAck,
  RelayAckSchema,
  type RenewRequest,
  RenewRequestSchema,
  type RenewResponse,
  RenewResponseSchema,
} from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { CONTROL_PLANE_SERVER_NAME } from './authority.ts';

export interface ControlPlaneAddress {
  host: string;
  port: number;
}

export interface ControlPlaneTls {
  /** The only root that is believed, PEM. */
  ca: string;
  /** The agent's certificate and key, PEM; absent for Join. */
  certificate?: string;
  key?: string;
}

/** A lease holds all policies and known credentials of an installation. */
const RECEIVE_BYTES_MAX = 64 * 1024 * 1024;
const UNARY_DEADLINE_MS = 20_000;

const bytesOf =
  <D extends DescMessage>(schema: D) =>
  (message: MessageShape<D>): Buffer => {
    const bytes = toBinary(schema, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
const messageOf =
  <D extends DescMessage>(schema: D) =>
  (bytes: Buffer): MessageShape<D> =>
    fromBinary(schema, bytes);

const path = (method: { name: string; parent: { typeName: string } }): string => `/${method.parent.typeName}/${method.name}`;

export class ControlPlaneClient {
  readonly #client: Client;

  constructor(address: ControlPlaneAddress, options: ControlPlaneTls) {
    const secureContext = tls.createSecureContext({
      ca: options.ca,
      ...(options.certificate === undefined ? {} : { cert: options.certificate }),
      ...(options.key === undefined ? {} : { key: options.key }),
      minVersion: 'TLSv1.3',
      secureOptions: constants.SSL_OP_NO_TICKET,
    });
    const host = address.host.includes(':') ? `[${address.host}]` : address.host;
    this.#client = new Client(`${host}:${address.port}`, credentials.createFromSecureContext(secureContext), {
      'grpc.ssl_target_name_override': CONTROL_PLANE_SERVER_NAME,
      'grpc.default_authority': CONTROL_PLANE_SERVER_NAME,
      'grpc.service_config_disable_resolution': 1,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_http_proxy': 0,
      'grpc.keepalive_time_ms': 10_000,
      'grpc.keepalive_timeout_ms': 5_000,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 5_000,
      'grpc.max_receive_message_length': RECEIVE_BYTES_MAX,
    });
  }

  /** @throws {GatewayError} with the control plane's code, or CONTROL_PLANE_UNREACHABLE. */
  join(request: JoinRequest): Promise<JoinResponse> {
    return this.#unary(path(EnrolmentService.method.join), JoinRequestSchema, JoinResponseSchema, request);
  }

  /** @throws {GatewayError} with the control plane's code, or CONTROL_PLANE_UNREACHABLE. */
  renew(request: RenewRequest): Promise<RenewResponse> {
    return this.#unary(path(AgentService.method.renew), RenewRequestSchema, RenewResponseSchema, request);
  }

  connect(): ClientDuplexStream<AgentMessage, ControlMessage> {
    return this.#client.makeBidiStreamRequest(
      path(AgentService.method.connect),
      bytesOf(AgentMessageSchema),
      messageOf(ControlMessageSchema),
    );
  }

  /** What is written are encoded RecordBatch messages: they are put together from a spool's bytes, not from objects. */
  relay(): ClientDuplexStream<Buffer, RelayAck> {
    return this.#client.makeBidiStreamRequest(path(AgentService.method.relay), bytes => bytes, messageOf(RelayAckSchema));
  }

  close(): void {
    this.#client.close();
  }

  #unary<Q extends DescMessage, A extends DescMessage>(
    method: string,
    requestSchema: Q,
    responseSchema: A,
    request: MessageShape<Q>,
  ): Promise<MessageShape<A>> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        method,
        bytesOf(requestSchema),
        messageOf(responseSchema),
        request,
        new Metadata(),
        { deadline: Date.now() + UNARY_DEADLINE_MS },
        (error, response) => {
          if (error !== null) reject(fromStatus(error));
          else if (response === undefined)
            reject(new GatewayError('CONTROL_PLANE_UNREACHABLE', 'unavailable', 'the control plane gave no answer'));
          else resolve(response);
        },
      );
    });
  }
}

/** A gRPC failure as the one error type; the control plane's stable code travels in the metadatum `sallyport-code`. */
export function fromStatus(error: ServiceError): GatewayError {
  const code = error.metadata?.get('sallyport-code')[0];
  if (typeof code === 'string' && /^[A-Z][A-Z0-9_]{2,60}$/.test(code)) {
    const kind =
      error.code === status.UNAUTHENTICATED
        ? 'unauthenticated'
        : error.code === status.PERMISSION_DENIED
          ? 'denied'
          : error.code === status.UNAVAILABLE || error.code === status.INTERNAL
            ? 'unavailable'
            : 'invalid';
    return new GatewayError(code, kind, error.details, { cause: error });
  }
  return new GatewayError('CONTROL_PLANE_UNREACHABLE', 'unavailable', `the control plane cannot be reached: ${error.details}`, {
    cause: error,
  });
}
