/**
 * PostgreSQL, protocol 3.0 and 3.2, as one of the agent's protocols.
 *
 * A session:
 *
 *     client                          agent                              database
 *       │ SSLRequest / TLS, StartupMessage │                                │
 *       │ password: token or ticket        │ verify, admit (authorisation)  │
 *       │                                  │ own login ────────────────────▶│  upstream.ts
 *       │◀── AuthenticationOk … Ready ─────│                                │  connection.ts
 *       │ Query, Parse, Bind, Execute ────▶│ analyse, decide, record ──────▶│  frontend.ts
 *       │◀───────── mask, record, release ─│◀── rows, tags, errors ─────────│  backend.ts
 *
 * @see https://www.postgresql.org/docs/current/protocol.html
 */
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Protocol } from '../session/protocol.ts';
import { readCatalogFile } from './catalog-file.ts';
import { PostgresConnection } from './connection.ts';
import { POSTGRES_DEPTH } from './depth.ts';
import { reapSessionRoles } from './session-role.ts';

export const postgres: Protocol = {
  name: 'postgres',
  depth: POSTGRES_DEPTH,
  catalog: readCatalogFile,
  async housekeep({ spec, credential }, report) {
    if (credential.dynamic === undefined) return;
    const target = { address: spec.upstream.address, tls: spec.upstream.tls, credential };
    await reapSessionRoles(target, spec.upstream.database ?? 'postgres', (role, error) =>
      report(
        new GatewayError(
          'PG_SESSION_ROLE_LEFT',
          'unavailable',
          `the role ${role} of a session that is over cannot be dropped: ${errorText(error)}`,
        ),
      ),
    );
  },
  serve(socket, context) {
    PostgresConnection.serve(socket, context);
  },
};
