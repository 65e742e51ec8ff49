/**
 * Objects in S3-compatible storage: each batch one gzip of OCSF lines, under PREFIX/yyyy/mm/dd/. The name is made of what the batch holds,
 * so that a batch that is sent again replaces itself. Requests are signed with AWS Signature Version 4, path style.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
import { gzipSync } from 'node:zlib';
import { sha256, signedHeaders } from '@sallyport/shared/crypto/aws-signature.ts';
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
      const name = sha256(text).slice(0, 24);
      const day = new Date(first.atMs).toISOString().slice(0, 10).replaceAll('-', '/');
      const key = `${target.prefix === '' ? '' : `${target.prefix.replace(/\/+$/, '')}/`}${day}/${first.atMs}-${name}.jsonl.gz`;
      const body = gzipSync(text);
      const url = new URL(`${target.endpoint}/${target.bucket}/${key.split('/').map(encodeURIComponent).join('/')}`);
      const headers = signedHeaders(
        { method: 'PUT', url, headers: { 'content-type': 'application/gzip', 'x-amz-content-sha256': sha256(body) }, body },
        { region: target.region, service: 's3' },
        { accessKeyId: target.accessKeyId, secretAccessKey: target.secretAccessKey },
        Date.now(),
      );
      await post(url.href, body, { method: 'PUT', headers, ca: target.ca, signal });
    },
    close: () => Promise.resolve(),
  };
}
