/**
 * A browser as far as signing in needs one: it follows redirects and keeps cookies by host and port. It runs no scripts and loads no
 * pictures. `SameSite` is not enforced here; the attributes are kept for tests to look at.
 */
import http from 'node:http';

interface Cookie {
  value: string;
  path: string;
  httpOnly: boolean;
  secure: boolean;
  sameSite: string;
}

const redirectsMax = 20;

export class Browser {
  /** Addresses in the order in which they were asked for. */
  readonly visited: string[] = [];
  readonly #jars = new Map<string, Map<string, Cookie>>();

  /**
   * Goes to an address and on to wherever it is sent.
   * @param options.stopAt path at which it stops before asking: the answer is an empty one with that address.
   */
  async go(
    address: string,
    options: { method?: string; body?: URLSearchParams; headers?: Record<string, string>; stopAt?: string } = {},
  ): Promise<Response> {
    let url = address;
    let { method = 'GET', body } = options;
    for (let count = 0; count < redirectsMax; count++) {
      if (count > 0 && options.stopAt !== undefined && new URL(url).pathname === options.stopAt) return located(new Response(null), url);
      const answer = await this.fetch(url, {
        method,
        ...(body === undefined ? {} : { body: body.toString() }),
        headers: options.headers ?? {},
      });
      const next = answer.headers.get('location');
      if (next === null || answer.status < 300 || answer.status > 399) return answer;
      url = new URL(next, url).href;
      if (answer.status !== 307 && answer.status !== 308) {
        method = 'GET';
        body = undefined;
      }
    }
    throw new Error(`more than ${redirectsMax} redirects from ${address}`);
  }

  /** One request with the cookies of its origin; redirects are not followed. */
  async fetch(address: string, options: { method?: string; body?: string; headers?: Record<string, string> } = {}): Promise<Response> {
    this.visited.push(address);
    const url = new URL(address);
    const jar = this.#jar(url.origin);
    const cookies = [...jar].map(([name, { value }]) => `${name}=${value}`).join('; ');
    const isForm = options.body !== undefined && options.headers?.['content-type'] === undefined;
    const answer = await request(url, {
      method: options.method ?? 'GET',
      headers: {
        ...(cookies === '' ? {} : { cookie: cookies }),
        ...(isForm ? { 'content-type': 'application/x-www-form-urlencoded' } : {}),
        ...options.headers,
      },
      body: options.body,
    });
    for (const line of answer.headers.getSetCookie()) this.#keep(url.origin, line);
    return located(answer, address);
  }

  cookie(name: string): Cookie | undefined {
    for (const jar of this.#jars.values()) if (jar.has(name)) return jar.get(name);
    return undefined;
  }

  /** Plants a cookie at every origin that was visited or will be. */
  setCookie(name: string, value: string): void {
    const cookie = { value, path: '/', httpOnly: false, secure: false, sameSite: '' };
    this.#planted.set(name, cookie);
    for (const jar of this.#jars.values()) jar.set(name, cookie);
  }

  readonly #planted = new Map<string, Cookie>();

  #jar(origin: string): Map<string, Cookie> {
    const jar = this.#jars.get(origin) ?? new Map(this.#planted);
    this.#jars.set(origin, jar);
    return jar;
  }

  #keep(origin: string, line: string): void {
    const [pair = '', ...attributes] = line.split(';').map(part => part.trim());
    const equals = pair.indexOf('=');
    const name = pair.slice(0, equals);
    const attribute = (wanted: string) => {
      const found = attributes.find(each => each.toLowerCase().split('=')[0] === wanted);
      return found === undefined ? undefined : (found.split('=')[1] ?? '');
    };
    const expires = attribute('expires');
    const isGone = attribute('max-age') === '0' || (expires !== undefined && Date.parse(expires) <= Date.now());
    if (isGone) {
      this.#jar(origin).delete(name);
      return;
    }
    this.#jar(origin).set(name, {
      value: pair.slice(equals + 1),
      path: attribute('path') ?? '',
      httpOnly: attribute('httponly') !== undefined,
      secure: attribute('secure') !== undefined,
      sameSite: attribute('samesite') ?? '',
    });
  }
}

/** By node:http, because `fetch` sets Host and Sec-Fetch-Site itself. */
function request(url: URL, options: { method: string; headers: Record<string, string>; body: string | undefined }): Promise<Response> {
  return new Promise((resolve, reject) => {
    const sent = http.request(url, { method: options.method, headers: options.headers, agent: false }, answer => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        const headers = new Headers();
        for (let i = 0; i < answer.rawHeaders.length; i += 2) headers.append(answer.rawHeaders[i] ?? '', answer.rawHeaders[i + 1] ?? '');
        const status = answer.statusCode ?? 0;
        resolve(new Response([204, 304].includes(status) ? null : Buffer.concat(chunks), { status, headers }));
      });
    });
    sent.on('error', reject);
    sent.end(options.body);
  });
}

function located(response: Response, url: string): Response {
  Object.defineProperty(response, 'url', { value: url });
  return response;
}
