/**
 * What a protocol is to the agent: one folder that implements `Protocol`, and one line in protocols.ts.
 *
 * The session layer owns listeners, the time and number limits before authentication, authorisation, records and a session's
 * life; a protocol owns the bytes. Protocols never import each other.
 */
import type { Socket } from 'node:net';
import type { DetectorSet } from '@sallyport/shared/detectors/engine.ts';
import type { GatewayError } from '@sallyport/shared/errors.ts';
import type { EnforcementDepth } from '@sallyport/shared/policy/decision.ts';
import type { CatalogFile } from '@sallyport/shared/rehearsal/catalog-file.ts';
import type { Gateway } from './gateway.ts';
import type { ResourceState } from './lease-state.ts';

/** What one accepted connection may use. */
export interface ConnectionContext {
  readonly gateway: Gateway;
  readonly resource: string;
  /** host:port of the far end. */
  readonly clientAddress: string;
  /** The connection is authenticated: it no longer counts against the limits of those that are not, and has no deadline. */
  authenticated(): void;
}

export interface Protocol {
  /** The `protocol` of Resource manifests. */
  readonly name: string;
  /** What this protocol can enforce; policies that ask for more are refused at admission. */
  readonly depth: EnforcementDepth;
  /** From accept to authenticated, where people type their passwords; absent: the listener's own bound. */
  readonly authenticationMs?: number;
  /**
   * Reads what the resource holds (names and definitions, no data), for rehearsals of policy. Absent: there is nothing to read.
   * @param database where the resource names none.
   * @throws {GatewayError} when it cannot be read.
   */
  catalog?(resource: ResourceState, database: string, secrets: DetectorSet | null): Promise<CatalogFile>;
  /**
   * Tidies up at the resource what sessions that are over have left there, also those of a process that died. Called about once a minute
   * by one worker of an agent; several agents may do it at the same time.
   * @throws {GatewayError} when the resource cannot be reached.
   */
  housekeep?(resource: ResourceState, report: (error: GatewayError) => void): Promise<void>;
  /** Takes over an accepted socket. Never throws; every failure ends this socket alone. */
  serve(socket: Socket, context: ConnectionContext): void;
}
