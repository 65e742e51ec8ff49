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
import type { Protocol } from '../session/protocol.ts';
import { readCatalogFile } from './catalog-file.ts';
import { PostgresConnection } from './connection.ts';
import { POSTGRES_DEPTH } from './depth.ts';

export const postgres: Protocol = {
  name: 'postgres',
  depth: POSTGRES_DEPTH,
  catalog: readCatalogFile,
  serve(socket, context) {
    PostgresConnection.serve(socket, context);
  },
};
