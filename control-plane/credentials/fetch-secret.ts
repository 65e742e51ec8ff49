/**
 * One HTTP exchange with a keeper of secrets: over https (http on this machine alone), without redirects, bounded in time and size. What
 * goes wrong is told without anything of the answer, which may hold the secret.
 */
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { isLoopback } from '@sallyport/shared/policy/values.ts';

const timeoutMs = 10_000;
const answerBytesMax = 1024 * 1024;

export function secretMissing(message: string, cause?: unknown): GatewayError {
  return new GatewayError('SECRET_MISSING', 'invalid', message, cause === undefined ? undefined : { cause });
}

/**
 * @param plainHosts that may be asked over http besides loopback.
 * @throws {GatewayError} SECRET_MISSING.
 */
export async function fetchJson(
  url: URL,
  init: { method: string; headers: Record<string, string>; body?: string },
  keeper: string,
  plainHosts: ReadonlySet<string> = new Set(),
): Promise<{ status: number; json: unknown }> {
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && (isLoopback(url.hostname) || plainHosts.has(url.hostname)))) {
    throw secretMissing(`${keeper} is only asked over https: ${url.origin} is not.`);
  }
  let status: number;
  let text: string;
  try {
    const response = await fetch(url, { ...init, redirect: 'error', signal: AbortSignal.timeout(timeoutMs) });
    status = response.status;
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of response.body ?? []) {
      length += chunk.length;
      if (length > answerBytesMax) throw new Error('its answer is too long');
      chunks.push(chunk);
    }
    text = Buffer.concat(chunks).toString('utf8');
  } catch (cause) {
    const why = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : errorText(cause);
    throw secretMissing(`${keeper} at ${url.origin} cannot be asked: ${why}.`, cause);
  }
  try {
    return { status, json: text === '' ? null : (JSON.parse(text) as unknown) };
  } catch {
    throw secretMissing(`${keeper} at ${url.origin} answered ${status}, and no JSON.`);
  }
}

/** A member of an object that came from outside. */
export function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}
