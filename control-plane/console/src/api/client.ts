/**
 * Calls the API as whoever is signed in: by the session's cookie, which scripts cannot read, or by the administrator's token.
 *
 * The administrator's token is for the first hours of an installation and for emergencies. It is kept in this tab's memory alone and is
 * gone with a reload.
 */

/** A problem document of the API, or a network that does not answer (status 0). */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly problems: readonly { file: string; line: number; column: number; message: string }[];

  constructor(status: number, code: string, message: string, problems: ApiError['problems'] = []) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
    this.problems = problems;
  }
}

interface Identity {
  bearer: string | null;
  csrf: string | null;
}

const identity: Identity = { bearer: null, csrf: null };

export function useBearer(token: string | null): void {
  identity.bearer = token;
}

export function useCsrf(token: string | null): void {
  identity.csrf = token;
}

export function hasBearer(): boolean {
  return identity.bearer !== null;
}

/** Headers that say who asks. */
export function authorization(method: string): Record<string, string> {
  return {
    ...(identity.bearer === null ? {} : { authorization: `Bearer ${identity.bearer}` }),
    ...(identity.csrf === null || method === 'GET' ? {} : { 'x-sallyport-csrf': identity.csrf }),
  };
}

export interface Call {
  method?: 'GET' | 'POST' | 'DELETE';
  body?: unknown;
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

/** @throws {ApiError} whatever goes wrong. */
export async function api<Answer>(path: string, { method = 'GET', body, signal, headers = {} }: Call = {}): Promise<Answer> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      cache: 'no-store',
      credentials: 'same-origin',
      headers: { ...headers, ...authorization(method), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, 'UNREACHABLE', 'The control plane does not answer. Is it running, and is this machine online?');
  }
  if (response.status === 204) return undefined as Answer;
  const text = await response.text().catch((error: unknown) => {
    if (signal?.aborted) throw error;
    throw new ApiError(response.status, 'ANSWER_CUT', 'The answer broke off before its end. Try again.');
  });
  const answer = parsed(text);
  if (response.ok) {
    if (answer !== undefined) return answer as Answer;
    throw new ApiError(
      response.status,
      'ANSWER_UNREADABLE',
      'What answered is no Sallyport API: something between here and it replied instead.',
    );
  }
  // A proxy's error page is no problem document: its status is all there is to say.
  const problem = (answer ?? {}) as { code?: string; detail?: string; problems?: ApiError['problems'] };
  throw new ApiError(response.status, problem.code ?? 'UNKNOWN', problem.detail ?? response.statusText, problem.problems);
}

/** Undefined: not JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** `{a: 1, b: undefined}` → `?a=1`. */
export function withQuery(path: string, query: Record<string, string | number | boolean | undefined>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== '') parameters.set(name, String(value));
  const text = parameters.toString();
  return text === '' ? path : `${path}?${text}`;
}
