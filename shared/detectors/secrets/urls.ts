/**
 * Passwords in addresses: `scheme://user:password@host`. The span is the password, as written (percent-encoded or not).
 *
 * Database and broker schemes are `connection-string`, the others `basic-auth-url`.
 */
import { ALNUM, CLASS, DASH, DOT, is, latin1, PLUS_SLASH, runStart } from '../bytes.ts';
import type { LiteralRule } from '../rule.ts';
import { PRIORITY, type Scan } from '../span.ts';

const USERINFO_BYTES_MAX = 320;

const CONNECTION_SCHEMES = new Set(
  (
    'postgres postgresql postgis psql mysql mysqlx mysql2 mariadb mongodb mongodb+srv redis rediss redis+sentinel valkey amqp amqps mssql sqlserver ' +
    'oracle clickhouse clickhouses cockroachdb cockroach crdb cassandra couchbase couchdb neo4j bolt neo4j+s bolt+s snowflake redshift trino presto hive ' +
    'vertica kafka nats mqtt mqtts stomp ldap ldaps smtp smtps imap imaps memcached elasticsearch influxdb db2 sqlite libsql rediscluster tds ' +
    'postgresql+psycopg2 postgresql+asyncpg postgresql+psycopg postgres+asyncpg mysql+pymysql mysql+mysqldb mysql+aiomysql mssql+pyodbc oracle+cx_oracle'
  ).split(' '),
);

const PLACEHOLDERS = new Set([
  'pass',
  'passwd',
  'pwd',
  'secret',
  'xxx',
  'xxxx',
  'xxxxx',
  'token',
  'changeme',
  '***',
  '****',
  '*****',
  '******',
  '********',
  'redacted',
  'hidden',
]);

function matchUserInfo(detector: 'basic-auth-url' | 'connection-string'): (scan: Scan, at: number) => void {
  return (scan, at) => {
    const { bytes } = scan;
    const start = at + 3;
    const limit = Math.min(scan.end, start + USERINFO_BYTES_MAX);
    let colon = -1;
    let close = -1;
    for (let i = start; i < limit; i++) {
      const byte = bytes[i] as number;
      // Unescaped `@` and `:` occur in passwords: the last `@` before the path counts, the first colon splits.
      if (byte === 64) close = i;
      else if (byte === 58 && colon < 0) colon = i;
      else if (byte === 47 || byte === 63 || byte === 35) {
        if (close >= 0 || colon < 0) break;
        // `/` in a password that nobody escaped: only when an `@` with a host follows.
        if (byte !== 47) break;
      } else if (byte <= 32 || byte === 34 || byte === 60 || byte === 62 || byte === 96 || byte === 92) break;
    }
    if (colon < 0 || close < 0 || close <= colon + 1) return;
    if (!is(bytes[close + 1] ?? -1, ALNUM) && bytes[close + 1] !== 91 && bytes[close + 1] !== 40) return;
    const schemeStart = runStart(bytes, at, Math.max(scan.start, at - 24), ALNUM | DOT | DASH | PLUS_SLASH);
    const scheme = latin1(bytes, schemeStart, at).toLowerCase();
    const isConnection = CONNECTION_SCHEMES.has(scheme) || CONNECTION_SCHEMES.has(scheme.split('+')[0] ?? '');
    if (!scan.wire) {
      if (isConnection !== (detector === 'connection-string')) return;
      // A port: `http://host:8080/@scope`.
      if (allDigits(bytes, colon + 1, close) && close - colon <= 6 && hasSlash(bytes, colon, close)) return;
      const password = latin1(bytes, colon + 1, close);
      if (/^(?:\$|\{|<|%[a-z]*\(|\[)/i.test(password) || password.includes('${') || password.includes('{{') || password.includes('://'))
        return;
      if (PLACEHOLDERS.has(password.toLowerCase()) || /^(?:\*+|x+|\.+|•+)$/i.test(password)) return;
      if (/^\d{1,5}\//.test(password)) return;
    }
    scan.add(colon + 1, close, detector, PRIORITY.url);
  };
}

function allDigits(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (((CLASS[bytes[i] as number] as number) & 1) === 0) return false;
  return true;
}

function hasSlash(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] === 47) return true;
  return false;
}

export const urls: readonly LiteralRule[] = [
  { detector: 'basic-auth-url', literal: '://', match: matchUserInfo('basic-auth-url') },
  { detector: 'connection-string', literal: '://', match: matchUserInfo('connection-string') },
];
