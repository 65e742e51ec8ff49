/**
 * Signing in with the browser while an SSH connection waits: OAuth's device authorization grant with the first identity provider of
 * the lease that has a client for it. The provider's keys and claims are checked where every token is.
 *
 * Answers of the provider are bounded in size and time; nothing of them is shown but the address and the code.
 *
 * @see RFC 8628
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Gateway } from '../session/gateway.ts';

const REQUEST_MS = 10_000;
const ANSWER_BYTES_MAX = 256 * 1024;
const INTERVAL_MS_MIN = 1000;
const WAIT_MS_MAX = 10 * 60_000;
/** Sign-ins that wait at the same time in one worker. */
const WAITING_MAX = 256;

let waiting = 0;

interface DeviceAnswer {
  address: string;
  completeAddress: string | null;
  code: string;
}

function provider(gateway: Gateway): { issuer: string; clientId: string } | null {
  return gateway.lease?.signInProvider ?? null;
}

export class DeviceFlow {
  readonly #gateway: Gateway;
  readonly #abort = new AbortController();
  #tokenEndpoint = '';
  #deviceCode = '';
  #clientId = '';
  #intervalMs = 5000;
  #expiresAtMs = 0;
  #counted = false;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  static possible(gateway: Gateway): boolean {
    return provider(gateway) !== null;
  }

  /** @throws {GatewayError} DEVICE_FLOW_*. */
  async begin(): Promise<DeviceAnswer> {
    const chosen = provider(this.#gateway);
    if (chosen === null) throw failed('no identity provider has a client for it');
    if (waiting >= WAITING_MAX) throw failed('too many sign-ins are waiting');
    waiting++;
    this.#counted = true;
    this.#clientId = chosen.clientId;
    const discovery = await this.#ask(`${chosen.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, null);
    if (discovery.issuer !== chosen.issuer) throw failed('the identity provider says that it is another one');
    const deviceEndpoint = endpoint(discovery.device_authorization_endpoint, chosen.issuer);
    this.#tokenEndpoint = endpoint(discovery.token_endpoint, chosen.issuer);
    const answer = await this.#ask(deviceEndpoint, { client_id: this.#clientId, scope: 'openid profile email groups' });
    const { device_code: deviceCode, user_code: code, verification_uri: address, verification_uri_complete: complete } = answer;
    if (typeof deviceCode !== 'string' || typeof code !== 'string' || typeof address !== 'string')
      throw failed('the identity provider gave no code');
    this.#deviceCode = deviceCode;
    if (typeof answer.interval === 'number') this.#intervalMs = Math.max(INTERVAL_MS_MIN, answer.interval * 1000);
    const lifeMs = typeof answer.expires_in === 'number' ? answer.expires_in * 1000 : WAIT_MS_MAX;
    this.#expiresAtMs = Date.now() + Math.min(lifeMs, WAIT_MS_MAX);
    return { address: shownUrl(address), completeAddress: typeof complete === 'string' ? shownUrl(complete) : null, code: plain(code) };
  }

  /** Waits until somebody has signed in. @returns the token to judge. */
  async token(): Promise<string> {
    while (Date.now() < this.#expiresAtMs) {
      await sleep(this.#intervalMs, undefined, { signal: this.#abort.signal });
      const answer = await this.#ask(this.#tokenEndpoint, {
        grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
        device_code: this.#deviceCode,
        client_id: this.#clientId,
      });
      if (typeof answer.id_token === 'string') {
        this.stop();
        return answer.id_token;
      }
      if (answer.error === 'slow_down') this.#intervalMs += 5000;
      else if (answer.error !== 'authorization_pending')
        throw failed(`the identity provider answered ${typeof answer.error === 'string' ? plain(answer.error) : 'nothing of use'}`);
    }
    throw failed('nobody signed in');
  }

  stop(): void {
    if (this.#counted) waiting--;
    this.#counted = false;
    this.#abort.abort();
  }

  async #ask(url: string, form: Record<string, string> | null): Promise<Record<string, unknown>> {
    const response = await fetch(url, {
      ...(form === null ? {} : { method: 'POST', body: new URLSearchParams(form) }),
      headers: { accept: 'application/json' },
      redirect: 'error',
      signal: AbortSignal.any([this.#abort.signal, AbortSignal.timeout(REQUEST_MS)]),
    });
    let text = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length > ANSWER_BYTES_MAX) throw failed('the identity provider’s answer is too long');
    }
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw failed('the identity provider’s answer is no JSON', cause);
    }
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  }
}

function failed(why: string, cause?: unknown): GatewayError {
  return new GatewayError('DEVICE_FLOW', 'unavailable', why, { cause });
}

/** An endpoint of the provider; plain text only where the issuer is (on loopback). */
function endpoint(value: unknown, issuer: string): string {
  if (typeof value !== 'string' || !URL.canParse(value)) throw failed('the identity provider offers no sign-in by code');
  if (new URL(value).protocol !== new URL(issuer).protocol) throw failed('the identity provider’s addresses are not as safe as its name');
  return value;
}

/** What is printed on a terminal: no control characters, of a sane length. */
function plain(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '').slice(0, 512);
}

function shownUrl(text: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) throw failed('the identity provider gave no address to open');
  return plain(text);
}
