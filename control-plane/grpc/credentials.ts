/**
 * TLS of the gRPC port: one port for agents that have a certificate and for those that come to get one. A client certificate is asked
 * for and not required; whether one is needed is decided per method (agent-identity.ts). TLS 1.3 only, no resumption, so that every
 * connection proves its key anew.
 */
import { constants } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import { ServerCredentials } from '@grpc/grpc-js';

export interface ServerIdentity {
  chainPem: string;
  keyPem: string;
}

export class AgentFacingCredentials extends ServerCredentials {
  readonly #caPem: string;

  constructor(caPem: string, identity: ServerIdentity) {
    super({ requestCert: true, rejectUnauthorized: false, handshakeTimeout: 10_000 }, contextOptions(caPem, identity));
    this.#caPem = caPem;
  }

  /** New connections get the new certificate; those that are open go on. */
  renew(identity: ServerIdentity): void {
    this.updateSecureContextOptions(contextOptions(this.#caPem, identity));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

function contextOptions(caPem: string, { chainPem, keyPem }: ServerIdentity): SecureContextOptions {
  return { ca: [caPem], cert: chainPem, key: keyPem, minVersion: 'TLSv1.3', secureOptions: constants.SSL_OP_NO_TICKET };
}
