/** One HTTP request with a body, by Node's own client: a CA of one's own, a time limit, no redirects. */
import { request as plain } from 'node:http';
import { request as secure } from 'node:https';

export interface PostOptions {
  method?: string;
  headers: Record<string, string>;
  ca?: string | undefined;
  signal: AbortSignal;
  /** The answer is bytes: each a character of the text (latin1). */
  binary?: true;
}

const TIMEOUT_MS = 30_000;
const ANSWER_BYTES_MAX = 64 * 1024;

/** @throws when there is no answer, or its status is not 2xx; the message has the beginning of the answer. */
export async function post(url: string, body: Uint8Array, { method = 'POST', headers, ca, signal, binary }: PostOptions): Promise<string> {
  const { protocol } = new URL(url);
  return new Promise((resolve, reject) => {
    const options = {
      method,
      headers: { ...headers, 'content-length': String(body.length) },
      signal,
      timeout: TIMEOUT_MS,
      ...(ca === undefined ? {} : { ca }),
    };
    const sent = (protocol === 'https:' ? secure : plain)(url, options, response => {
      let text = '';
      response.setEncoding(binary ? 'latin1' : 'utf8');
      response.on('data', (part: string) => {
        if (text.length < ANSWER_BYTES_MAX) text += part;
      });
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode = 0 } = response;
        if (statusCode >= 200 && statusCode < 300) resolve(text);
        else reject(new Error(`${new URL(url).host} answered ${statusCode}: ${JSON.stringify(text.slice(0, 300))}`));
      });
    });
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
    sent.on('error', reject);
    sent.end(body);
  });
}
