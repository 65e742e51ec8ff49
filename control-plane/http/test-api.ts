/** A control plane with its API and an identity provider, for tests: one call is one request. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from '../control-plane.ts';
import { TestIdentityProvider } from '../test-identity-provider.ts';

export interface Api {
  dir: string;
  plane: ControlPlane;
  provider: TestIdentityProvider;
  /** Of the log. */
  lines: string[];
  call(
    method: string,
    path: string,
    options?: { token?: string | null; body?: unknown; headers?: Record<string, string> },
  ): Promise<Answer>;
  apply(text: string, options?: { token?: string; dryRun?: boolean; reason?: string; headers?: Record<string, string> }): Promise<Answer>;
  /** Closes the control plane and starts another on the same data. */
  restart(options?: Partial<ControlPlaneOptions>): Promise<void>;
}

export interface Answer {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
}

/** @param manifests applied with the administrator's token before `body` runs. */
export async function withApi(
  manifests: (issuer: string) => string,
  body: (api: Api) => Promise<void>,
  options: Partial<ControlPlaneOptions> = {},
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-api-'));
  const provider = await TestIdentityProvider.start();
  const lines: string[] = [];
  const start = (more: Partial<ControlPlaneOptions>) =>
    startControlPlane({
      ...{ dataDir: join(dir, 'data'), http: '127.0.0.1:0', grpc: '127.0.0.1:0', env: { PW: 'a-password-0' }, version: 'test' },
      logger: pino({ level: 'debug' }, { write: line => lines.push(line) }),
      onFault: error => {
        throw error;
      },
      ...more,
    });
  const api: Api = {
    ...{ dir, provider, lines },
    plane: await start(options),
    async call(method, path, { token = api.plane.adminToken, body: sent, headers = {} } = {}) {
      const response = await fetch(api.plane.httpUrl + path, {
        method,
        headers: {
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(sent === undefined ? {} : { body: typeof sent === 'string' ? sent : JSON.stringify(sent) }),
      });
      // A stream has no end of its own.
      if (response.headers.get('content-type')?.startsWith('text/event-stream')) await response.body?.cancel();
      const text = response.bodyUsed ? '' : await response.text();
      const isJson = (response.headers.get('content-type') ?? '').includes('json');
      return {
        status: response.status,
        headers: response.headers,
        body: isJson && text !== '' ? (JSON.parse(text) as Record<string, unknown>) : { text },
      };
    },
    apply(text, { token, headers, ...more } = {}) {
      const sent = { manifests: [{ file: join(dir, 'm.yaml'), text }], ...more };
      return api.call('POST', '/v1/apply', {
        body: sent,
        ...(token === undefined ? {} : { token }),
        ...(headers === undefined ? {} : { headers }),
      });
    },
    async restart(more = options) {
      await api.plane.close();
      api.plane = await start(more);
    },
  };
  try {
    const applied = await api.apply(manifests(provider.issuer));
    assert.equal(applied.status, 200, JSON.stringify(applied.body));
    await body(api);
  } finally {
    await api.plane.close();
    await provider.close();
    await rm(dir, { recursive: true });
  }
}
