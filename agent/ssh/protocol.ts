/**
 * SSH, version 2, as one of the agent's protocols.
 *
 *     client                        agent                              host
 *       │ key exchange (host certificate) │                              │  transport.ts
 *       │ token, ticket or certificate    │ verify, admit                │  authentication.ts
 *       │                                 │ own login, host key pinned ─▶│  upstream.ts
 *       │ channels ──────────────────────▶│ judge, record ──────────────▶│  relay.ts, session-channel.ts, forwarding.ts
 *       │◀──────────── mask, record, release ◀── output, exit status ────│  output.ts
 *
 * @see RFC 4251 to 4254
 */
import type { Protocol } from '../session/protocol.ts';
import { SshConnection } from './connection.ts';
import { SSH_DEPTH } from './depth.ts';

export const ssh: Protocol = {
  name: 'ssh',
  depth: SSH_DEPTH,
  // OpenSSH's own LoginGraceTime: somebody may be signing in with the browser meanwhile.
  authenticationMs: 120_000,
  serve(socket, context) {
    SshConnection.serve(socket, context);
  },
};
