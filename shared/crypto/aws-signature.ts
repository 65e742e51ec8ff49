/**
 * AWS Signature Version 4: of a request in its headers, and of an address that is good by itself for a while.
 *
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
 */
import { createHash, createHmac } from 'node:crypto';

export interface AwsKeys {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
}

/** @returns the headers to send: those given, `host`, `x-amz-date`, the session's token and `authorization`. */
export function signedHeaders(
  request: { method: string; url: URL; headers: Readonly<Record<string, string>>; body: string | Uint8Array },
  scope: { region: string; service: string },
  keys: AwsKeys,
  nowMs: number,
): Record<string, string> {
  const { method, url, body } = request;
  const stamp = stampOf(nowMs);
  const headers: Record<string, string> = {
    ...Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name.toLowerCase(), value.trim()])),
    host: url.host,
    'x-amz-date': stamp,
    ...(keys.sessionToken === undefined ? {} : { 'x-amz-security-token': keys.sessionToken }),
  };
  const names = Object.keys(headers).sort();
  const signed = names.join(';');
  const query = [...url.searchParams].map(([name, value]) => `${strict(name)}=${strict(value)}`).sort();
  const canonical = [
    method,
    url.pathname,
    query.join('&'),
    ...names.map(name => `${name}:${headers[name]}`),
    '',
    signed,
    sha256(body),
  ].join('\n');
  const { where, signature } = signed4(canonical, stamp, scope, keys);
  return {
    ...headers,
    authorization: `AWS4-HMAC-SHA256 Credential=${keys.accessKeyId}/${where}, SignedHeaders=${signed}, Signature=${signature}`,
  };
}

/**
 * Signs a GET of `/` in its query, so that the address is all that whoever receives it needs.
 * @param host with its port where that is signed too, as in the `host` header.
 * @param query without AWS's own parameters.
 * @returns `host/?…`, without a scheme. A secret until it expires.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
 */
export function presignedAddress(
  host: string,
  query: Readonly<Record<string, string>>,
  scope: { region: string; service: string },
  keys: AwsKeys,
  times: { nowMs: number; expiresSeconds: number },
): string {
  const stamp = stampOf(times.nowMs);
  const parameters = Object.entries({
    ...query,
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `${keys.accessKeyId}/${scopeOf(stamp, scope)}`,
    'X-Amz-Date': stamp,
    'X-Amz-Expires': String(times.expiresSeconds),
    ...(keys.sessionToken === undefined ? {} : { 'X-Amz-Security-Token': keys.sessionToken }),
    'X-Amz-SignedHeaders': 'host',
  })
    .map(([name, value]) => `${strict(name)}=${strict(value)}`)
    .sort()
    .join('&');
  const canonical = ['GET', '/', parameters, `host:${host}`, '', 'host', sha256('')].join('\n');
  return `${host}/?${parameters}&X-Amz-Signature=${signed4(canonical, stamp, scope, keys).signature}`;
}

function stampOf(nowMs: number): string {
  return new Date(nowMs).toISOString().replace(/[:-]|\.\d{3}/g, '');
}

function scopeOf(stamp: string, { region, service }: { region: string; service: string }): string {
  return `${stamp.slice(0, 8)}/${region}/${service}/aws4_request`;
}

function signed4(canonical: string, stamp: string, scope: { region: string; service: string }, keys: AwsKeys) {
  const where = scopeOf(stamp, scope);
  const toSign = ['AWS4-HMAC-SHA256', stamp, where, sha256(canonical)].join('\n');
  const key = where
    .split('/')
    .reduce<Buffer>((before, step) => createHmac('sha256', before).update(step).digest(), Buffer.from(`AWS4${keys.secretAccessKey}`));
  return { where, signature: createHmac('sha256', key).update(toSign).digest('hex') };
}

/** In hexadecimal digits. */
export function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** RFC 3986: what `encodeURIComponent` leaves alone and AWS does not. */
function strict(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}
