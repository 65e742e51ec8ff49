/**
 * A database role of its own for each session, made when the session opens and dropped when it ends, so that the database itself says who
 * did what (`sallyport_session_` and the session's id), and a credential that leaks from the database's side is worth nothing.
 *
 * Least privilege: the role is a member of what the credential's manifest names, may log in once, and neither create roles nor databases.
 * Its password is good for a minute, which is all that the login needs; a session that lives is not touched by its end. The database
 * never sees the password: it is given the SCRAM verifier, so that it is in no log of statements.
 *
 * What a crash leaves behind is found by the database's own knowledge and nobody's memory: roles of this name whose password has expired
 * and that have no session. Any agent of any age may drop those.
 */
import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { GatewayError } from '@sallyport/shared/errors.ts';
import { simpleQuery } from './side-connection.ts';
import type { UpstreamTarget } from './upstream.ts';

const prefix = 'sallyport_session_';
const loginSeconds = 60;
const iterations = 4096;
/** Roles that are dropped in one round. */
const reapedMax = 100;
const pbkdf2Async = promisify(pbkdf2);

export interface SessionRole {
  readonly name: string;
  /** The database with the role's own login. */
  readonly target: UpstreamTarget;
  /** Ends what the role still runs and drops it. @throws {GatewayError} PG_SIDE_QUERY and others: the next round of `reap` does it. */
  drop(): Promise<void>;
}

/**
 * Makes the role of a session.
 * @param admin the credential that may create roles and give membership in `grants`.
 * @throws {GatewayError} PG_SESSION_ROLE_REFUSED and what connectUpstream throws: the session must not open.
 */
export async function createSessionRole(
  admin: UpstreamTarget,
  database: string,
  grants: readonly string[],
  sessionId: string,
): Promise<SessionRole> {
  const name = `${prefix}${sessionId.replaceAll('-', '')}`;
  const password = randomBytes(32).toString('base64url');
  try {
    await asAdmin(admin, database, [
      block(
        `EXECUTE pg_catalog.format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT CONNECTION LIMIT 1` +
          ` PASSWORD %L VALID UNTIL %L', ${literal(name)}, ${literal(await verifierOf(password))}, pg_catalog.now() + interval '${loginSeconds} seconds');\n` +
          // So that what it owns can be taken over, and what it runs be ended.
          `EXECUTE pg_catalog.format('GRANT %I TO CURRENT_USER', ${literal(name)});\n` +
          grants.map(grant => `EXECUTE pg_catalog.format('GRANT %I TO %I', ${literal(grant)}, ${literal(name)});`).join('\n'),
      ),
    ]);
  } catch (cause) {
    if (!(cause instanceof GatewayError && cause.code === 'PG_SIDE_QUERY')) throw cause;
    throw new GatewayError(
      'PG_SESSION_ROLE_REFUSED',
      'unavailable',
      `the database does not let the gateway make a role for the session: the credential needs CREATEROLE, and ADMIN OPTION on ${grants.join(', ')}`,
      { cause },
    );
  }
  return {
    name,
    target: { ...admin, credential: { username: name, password } },
    drop: () => dropRole(admin, database, name),
  };
}

/** Drops roles of sessions that are over. @returns their names; a role that cannot be dropped is left, and told. */
export async function reapSessionRoles(
  admin: UpstreamTarget,
  database: string,
  onProblem: (role: string, error: unknown) => void,
): Promise<string[]> {
  const [rows = []] = await asAdmin(admin, database, [
    `SELECT rolname FROM pg_catalog.pg_roles r WHERE rolname ~ '^${prefix}[0-9a-f]{32}$' AND rolvaliduntil < now()` +
      ` AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_stat_activity a WHERE a.usesysid = r.oid) ORDER BY rolvaliduntil LIMIT ${reapedMax}`,
  ]);
  const dropped: string[] = [];
  for (const [name] of rows) {
    if (name === null || name === undefined) continue;
    try {
      await dropRole(admin, database, name);
      dropped.push(name);
    } catch (error) {
      onProblem(name, error);
    }
  }
  return dropped;
}

/**
 * What the session has made stays, and belongs to a role that it was given: never to the credential's own, which may more than the
 * session might, so that a view or function of one session would lend it to the next. Where no such role can take it, it goes.
 */
async function dropRole(admin: UpstreamTarget, database: string, name: string): Promise<void> {
  const role = literal(name);
  const run = (statement: string, names: string): string => `EXECUTE pg_catalog.format('${statement}', ${names});`;
  await asAdmin(admin, database, [
    `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE usename = ${role}`,
    `DO $sallyport$ DECLARE heir pg_catalog.name; BEGIN
IF EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = ${role}) THEN
  SELECT g.rolname INTO heir FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
    JOIN pg_catalog.pg_roles s ON s.oid = m.member WHERE s.rolname = ${role} ORDER BY 1 LIMIT 1;
  IF heir IS NOT NULL THEN
    BEGIN ${run('REASSIGN OWNED BY %I TO %I', `${role}, heir`)} EXCEPTION WHEN insufficient_privilege THEN NULL; END;
  END IF;
  ${run('DROP OWNED BY %I', role)}
  ${run('DROP ROLE %I', role)}
END IF;
END $sallyport$`,
  ]);
}

/** With nothing in reach by name that users have made. */
function asAdmin(admin: UpstreamTarget, database: string, statements: readonly string[]): ReturnType<typeof simpleQuery> {
  return simpleQuery(admin, database, statements, [['search_path', 'pg_catalog, pg_temp']]);
}

function block(body: string): string {
  return `DO $sallyport$ BEGIN\n${body}\nEND $sallyport$`;
}

/** A constant in SQL, whatever `standard_conforming_strings` says; none that could end the block it stands in. */
function literal(text: string): string {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll("'", "''").replaceAll('$', '\\044');
  return `E'${escaped}'`;
}

/** What PostgreSQL keeps of a password (RFC 5803): from it the password cannot be told. */
async function verifierOf(password: string): Promise<string> {
  const salt = randomBytes(16);
  const salted = await pbkdf2Async(password, salt, iterations, 32, 'sha256');
  const hmac = (text: string) => createHmac('sha256', salted).update(text).digest();
  const stored = createHash('sha256').update(hmac('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${stored}:${hmac('Server Key').toString('base64')}`;
}
