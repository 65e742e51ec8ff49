/**
 * Objects in S3-compatible storage: each batch one gzip of OCSF lines, under PREFIX/yyyy/mm/dd/. The name is made of what the batch holds,
 * so that a batch that is sent again replaces itself. Requests are signed with AWS Signature Version 4, path style.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
import { createHash, createHmac } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { Target } from './config.ts';
import type { Destination } from './destination.ts';
import { ocsf } from './ocsf.ts';
import { post } from './post.ts';

export function s3Destination(target: Extract<Target, { kind: 's3' }>, version: string): Destination {
  return {
    async send(events, signal) {
      const [first] = events;
      if (first === undefined) return;
      const text = events.map(event => `${JSON.stringify(ocsf(event, { version }))}\n`).join('');
      const name = createHash('sha256').update(text).digest('hex').slice(0, 24);
      const day = new Date(first.atMs).toISOString().slice(0, 10).replaceAll('-', '/');
      const key = `${target.prefix === '' ? '' : `${target.prefix.replace(/\/+$/, '')}/`}${day}/${first.atMs}-${name}.jsonl.gz`;
      const body = gzipSync(text);
      const url = `${target.endpoint}/${target.bucket}/${key.split('/').map(encodeURIComponent).join('/')}`;
      const headers = signedHeaders({
        method: 'PUT',
        url,
        headers: { 'content-type': 'application/gzip' },
        body,
        at: new Date(),
        ...target,
      });
      await post(url, body, { method: 'PUT', headers, ca: target.ca, signal });
    },
    close: () => Promise.resolve(),
  };
}

interface Signing {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: Uint8Array;
  at: Date;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
}

/** The headers with `authorization` and what it covers. Header names are lower case. */
export function signedHeaders({ method, url, headers, body, at, region, accessKeyId, secretAccessKey }: Signing): Record<string, string> {
  const { host, pathname } = new URL(url);
  const time = at.toISOString().replaceAll(/[-:]|\.\d{3}/g, '');
  const date = time.slice(0, 8);
  const bodyHash = createHash('sha256').update(body).digest('hex');
  const all: Record<string, string> = { ...headers, host, 'x-amz-content-sha256': bodyHash, 'x-amz-date': time };
  const names = Object.keys(all).sort();
  const canonical = [method, pathname, '', ...names.map(name => `${name}:${all[name]?.trim()}`), '', names.join(';'), bodyHash].join('\n');
  const scope = `${date}/${region}/s3/aws4_request`;
  const toSign = ['AWS4-HMAC-SHA256', time, scope, createHash('sha256').update(canonical).digest('hex')].join('\n');
  const key = [date, region, 's3', 'aws4_request'].reduce<Buffer>(
    (under, part) => createHmac('sha256', under).update(part).digest(),
    Buffer.from(`AWS4${secretAccessKey}`),
  );
  const signature = createHmac('sha256', key).update(toSign).digest('hex');
  return {
    ...all,
    authorization: `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope},SignedHeaders=${names.join(';')},Signature=${signature}`,
  };
}
