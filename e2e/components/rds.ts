/**
 * AWS RDS as a client sees it: TLS, a cleartext password that is a token of IAM, checked as AWS checks it, and behind that a real
 * PostgreSQL. It shares no code with the gateway, so that a mistake there is not made here too.
 *
 * The database's user `direct` logs in by clear text there: it is the one with `rds_iam`. Others are asked for what the database asks
 * them for.
 */
import { createHash, createHmac } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { makeCertificates, type PostgresServer } from './postgres.ts';

export interface RdsIdentity {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
}

export interface Rds {
  /** `host:port`, as tokens are signed for. */
  address: string;
  ca: string;
  /** Tokens that were taken, and why others were not, in the order of arrival. */
  seen: { token: string; refusal: string | null }[];
  stop(): Promise<void>;
}

export async function startRds(postgres: PostgresServer, region: string, identities: readonly RdsIdentity[]): Promise<Rds> {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-rds-'));
  makeCertificates(dir);
  const certificate = { cert: readFileSync(path.join(dir, 'server.crt')), key: readFileSync(path.join(dir, 'server.key')) };
  const sockets = new Set<net.Socket>();
  const seen: Rds['seen'] = [];
  const server = net.createServer(socket => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.once('data', (request: Buffer) => {
      // SSLRequest, and nothing behind it.
      if (request.length !== 8 || request.readInt32BE(4) !== 80877103) return void socket.destroy();
      socket.write('S');
      serve(new tls.TLSSocket(socket, { isServer: true, ...certificate, ALPNProtocols: ['postgresql'] }));
    });
  });
  const serve = (client: tls.TLSSocket) => {
    const database = net.connect(postgres.port, postgres.host);
    for (const [one, other] of [
      [client, database],
      [database, client],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
    let user = '';
    let early: Buffer = Buffer.alloc(0);
    let isAsked = false;
    database.on('data', (chunk: Buffer) => {
      // AuthenticationCleartextPassword: the one with a token is asked.
      if (chunk.length === 9 && chunk[0] === 0x52 && chunk.readInt32BE(5) === 3) isAsked = true;
      client.write(chunk);
    });
    client.on('data', (chunk: Buffer) => {
      if (user === '') {
        early = Buffer.concat([early, chunk]);
        if (early.length < 4 || early.length < early.readInt32BE(0)) return;
        const fields = early.subarray(8).toString('utf8').split('\0');
        user = fields[fields.indexOf('user') + 1] ?? '';
        database.write(early);
        if (early.readInt32BE(4) >>> 16 !== 3) user = '(none)'; // A CancelRequest.
        early = Buffer.alloc(0);
        return;
      }
      if (!isAsked) return void database.write(chunk);
      early = Buffer.concat([early, chunk]);
      if (early.length < 5 || early.length < 1 + early.readInt32BE(1)) return;
      const token = early.subarray(5, early.readInt32BE(1)).toString('utf8');
      isAsked = false;
      early = Buffer.alloc(0);
      const refusal = refusalOf(token, `localhost:${portOf(server)}`, user, region, identities);
      seen.push({ token, refusal });
      if (refusal === null) return void database.write(frame('p', `${postgres.direct.password}\0`));
      client.end(frame('E', `SFATAL\0VFATAL\0C28P01\0MPAM authentication failed for user "${user}"\0\0`));
    });
  };
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  return {
    address: `localhost:${portOf(server)}`,
    ca: path.join(dir, 'ca.crt'),
    seen,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise(resolve => server.close(resolve));
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Why AWS would not take the token; null when it would. */
export function refusalOf(token: string, host: string, user: string, region: string, identities: readonly RdsIdentity[]): string | null {
  const [where = '', query = ''] = token.split('/?');
  if (where !== host) return 'another host';
  const pairs = query.split('&');
  const values = new Map(pairs.map(pair => pair.split('=').map(decodeURIComponent) as [string, string]));
  const [id, date, ...scope] = (values.get('X-Amz-Credential') ?? '').split('/');
  const stamp = values.get('X-Amz-Date') ?? '';
  const identity = identities.find(({ accessKeyId }) => accessKeyId === id);
  if (identity === undefined) return 'an unknown access key';
  if (scope.join('/') !== `${region}/rds-db/aws4_request` || stamp.slice(0, 8) !== date) return 'another scope';
  if (values.get('X-Amz-Security-Token') !== identity.sessionToken) return 'another session token';
  if (values.get('Action') !== 'connect' || values.get('DBUser') !== user) return 'another action or user';
  if (values.get('X-Amz-Algorithm') !== 'AWS4-HMAC-SHA256' || values.get('X-Amz-SignedHeaders') !== 'host') return 'another algorithm';
  const madeAtMs = Date.parse(
    `${stamp.slice(0, 4)}-${stamp.slice(4, 6)}-${stamp.slice(6, 8)}T${stamp.slice(9, 11)}:${stamp.slice(11, 13)}:${stamp.slice(13)}`,
  );
  const expires = Number(values.get('X-Amz-Expires'));
  // Five minutes are what clocks may differ by.
  if (!(expires > 0 && expires <= 900 && madeAtMs <= Date.now() + 300_000 && madeAtMs + expires * 1000 > Date.now())) return 'expired';
  const signed = pairs.filter(pair => !pair.startsWith('X-Amz-Signature=')).sort();
  const request = `GET\n/\n${signed.join('&')}\nhost:${host}\n\nhost\n${sha256('')}`;
  const text = `AWS4-HMAC-SHA256\n${stamp}\n${date}/${region}/rds-db/aws4_request\n${sha256(request)}`;
  const hmac = (key: string | Buffer, of: string) => createHmac('sha256', key).update(of).digest();
  const key = hmac(hmac(hmac(hmac(`AWS4${identity.secretAccessKey}`, date ?? ''), region), 'rds-db'), 'aws4_request');
  return hmac(key, text).toString('hex') === values.get('X-Amz-Signature') ? null : 'another signature';
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function frame(type: string, body: string): Buffer {
  const bytes = Buffer.alloc(5 + Buffer.byteLength(body));
  bytes.write(type, 0);
  bytes.writeInt32BE(4 + Buffer.byteLength(body), 1);
  bytes.write(body, 5);
  return bytes;
}

function portOf(server: net.Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
