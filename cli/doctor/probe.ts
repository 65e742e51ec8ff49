/** One GET, looked at closely: how long it took, what the other side's clock says, how long its certificate is good. */
import type { IncomingMessage, RequestOptions } from 'node:http';
import type { TLSSocket } from 'node:tls';

export interface Probe {
  status: number;
  text: string;
  tookMs: number;
  /** Its clock minus ours, to the second that HTTP gives; undefined when it does not tell. */
  skewMs: number | undefined;
  /** Of its certificate; undefined without TLS. */
  certificateNotAfterMs: number | undefined;
}

const bytesMax = 4 * 1024 * 1024;
const timeoutMs = 10_000;

/** @throws {Error} of the network, of TLS, and when the answer is too large. */
export async function probe(address: string, headers: Record<string, string> = {}, ca?: string): Promise<Probe> {
  const url = new URL(address);
  const { request } = url.protocol === 'https:' ? await import('node:https') : await import('node:http');
  const options: RequestOptions & { ca?: string } = {
    ...{ timeout: timeoutMs, agent: false, headers: { accept: 'application/json', ...headers } },
    ...(ca === undefined ? {} : { ca }),
  };
  const startedAtMs = Date.now();
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const sent = request(url, options, resolve);
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    sent.on('error', reject);
    sent.end();
  });
  const tookMs = Date.now() - startedAtMs;
  const socket = response.socket as Partial<TLSSocket>;
  const notAfter = socket.getPeerCertificate?.().valid_to;
  response.setEncoding('utf8');
  let text = '';
  for await (const part of response) {
    text += part as string;
    if (text.length > bytesMax) throw new Error('the answer is too large');
  }
  const date = Date.parse(response.headers.date ?? '');
  return {
    ...{ status: response.statusCode ?? 0, text, tookMs },
    // The header has whole seconds: half of one is as right as any.
    skewMs: Number.isNaN(date) ? undefined : date + 500 - (startedAtMs + tookMs / 2),
    certificateNotAfterMs: notAfter === undefined || notAfter === '' ? undefined : Date.parse(notAfter),
  };
}
