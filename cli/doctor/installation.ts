/** Checks of a running installation, as far as the caller may look: control plane, agents, session store, identity providers. */
import { X509Certificate } from 'node:crypto';
import { errorText } from '@sallyport/shared/errors.ts';
import { administratorRequest, type Connection, readText } from '../connection.ts';
import { printable } from '../table.ts';
import { checked, expiry, type Finding, fine, note, skew, span, wrong } from './finding.ts';
import { probe } from './probe.ts';

const dayMs = 24 * 60 * 60 * 1000;
const hourMs = 60 * 60 * 1000;
const lagEntriesNoted = 10_000;
const lagSecondsNoted = 30;

interface Agent {
  id: string;
  name: string;
  status: 'invited' | 'online' | 'offline' | 'revoked';
  version: string;
  certificateExpiresAt?: string;
  lastSeenAt?: string;
  spoolRecords?: number;
  problems: Record<string, string>;
}

interface Overview {
  store: { status: 'up' | 'down' | 'none'; detail?: string };
  storeLag: { entries: number | null; seconds: number | null };
}

interface Provider {
  metadata: { name: string };
  spec: { oidc?: { issuer: string } };
}

/** Everything that can be seen from here. */
export async function checkInstallation(connection: Connection, nowMs: number): Promise<Finding[]> {
  const { api } = connection;
  const start = connection.endpoints === undefined ? 'start it there, or correct --api' : 'start it: `sallyport up`';
  const reach = await checked('control plane', `${start}; its log says why it does not answer`, async () => {
    const { status, tookMs, skewMs, certificateNotAfterMs } = await probe(`${api.url}/readyz`, {}, api.ca);
    const ready =
      status === 200
        ? fine('control plane', `${api.url} is ready (${tookMs} ms)`)
        : wrong(
            'control plane',
            `${api.url} answers ${status}: it is not ready`,
            'look into its log; restart it when the log stands still',
          );
    return [
      ready,
      ...(skewMs === undefined ? [] : [skew('clock', skewMs, 'the control plane')]),
      ...(certificateNotAfterMs === undefined
        ? []
        : [
            expiry(
              'certificate',
              certificateNotAfterMs,
              nowMs,
              { noteMs: 30 * dayMs },
              'restart the control plane: it issues itself a new one',
            ),
          ]),
    ];
  });
  if (reach.some(({ outcome, check }) => outcome === 'wrong' && check === 'control plane')) return reach;
  const version = await checked('access', 'sign in with a role that may look (viewer), or set SALLYPORT_TOKEN', async () => {
    const status = (await administratorRequest(connection, 'GET', '/v1/status')) as { version: string; controlEdition?: Edition };
    return [fine('access', `signed in; the control plane is version ${status.version}`), ...editionFindings(status.controlEdition)];
  });
  if (version.some(({ outcome }) => outcome === 'wrong')) return [...reach, ...version, ...(await authority(connection, nowMs))];
  const [agents, store, providers, signing, credentials] = await Promise.all([
    checkAgents(connection, nowMs),
    checkStore(connection),
    checkProviders(connection),
    checkSigningKeys(connection),
    checkCredentials(connection, nowMs),
  ]);
  return [...reach, ...version, ...(await authority(connection, nowMs)), ...agents, ...store, ...providers, ...signing, ...credentials];
}

interface Edition {
  inForce: number;
  known: number;
}

/** @param edition absent: of a control plane that says none. */
export function editionFindings(edition: Edition | undefined): Finding[] {
  if (edition === undefined || edition.inForce >= edition.known) return [];
  const mend = 'when every control plane runs it: `sallyport control-plane raise-edition`';
  return [note('control log', `is at edition ${edition.inForce}, and this version knows ${edition.known}`, mend)];
}

/** The CA that clients verify resources with. */
async function authority({ caFile }: Connection, nowMs: number): Promise<Finding[]> {
  if (caFile === undefined) return [];
  const mend = 'get it anew: `curl CONTROL-PLANE/ca.crt`, and name it with --ca or SALLYPORT_CA';
  return checked('CA', mend, async () => {
    const { validTo } = new X509Certificate(await readText(caFile, 'the CA'));
    return expiry('CA', Date.parse(validTo), nowMs, { noteMs: 90 * dayMs }, mend);
  });
}

function checkAgents(connection: Connection, nowMs: number): Promise<Finding[]> {
  return checked('agents', 'see `sallyport agents list`', async () => {
    const { agents } = (await administratorRequest(connection, 'GET', '/v1/agents')) as { agents: Agent[] };
    const enrolled = agents.filter(({ status }) => status === 'online' || status === 'offline');
    if (enrolled.length === 0) return note('agents', 'none has enrolled', 'invite one: `sallyport agents invite`');
    return enrolled.flatMap(agent => agentFindings(agent, nowMs));
  });
}

export function agentFindings(agent: Agent, nowMs: number): Finding[] {
  const check = `agent ${printable(agent.name)}`;
  const certificate = Date.parse(agent.certificateExpiresAt ?? '');
  const renewal = 'it renews by itself while it reaches the control plane; else invite it anew: `sallyport agents invite`';
  if (agent.status === 'offline') {
    const seen = agent.lastSeenAt === undefined ? '' : `, last seen ${agent.lastSeenAt}`;
    const late = certificate < nowMs ? '; its certificate has expired, so it cannot come back' : '';
    const mend =
      certificate < nowMs ? renewal : 'start it, and see whether it reaches the control plane’s gRPC address; its log says why not';
    return [wrong(check, `is not connected${seen}${late}`, mend)];
  }
  return [
    fine(check, `connected, version ${printable(agent.version)}`),
    ...Object.entries(agent.problems).map(([resource, reason]) =>
      wrong(
        check,
        `does not serve ${printable(resource)}: ${printable(reason)}`,
        `mend what it says, or change the manifest: \`sallyport get resource ${printable(resource)}\``,
      ),
    ),
    ...(Number.isNaN(certificate) ? [] : certificateFindings(`${check}: certificate`, certificate, nowMs, renewal)),
    ...((agent.spoolRecords ?? 0) > lagEntriesNoted
      ? [
          note(
            check,
            `${agent.spoolRecords} records wait on its disk`,
            'see whether its network reaches the control plane, and whether the log takes them',
          ),
        ]
      : []),
  ];
}

/** Short-lived and renewed early: only what was not renewed in time is worth a word. */
function certificateFindings(check: string, notAfterMs: number, nowMs: number, mend: string): Finding[] {
  const finding = expiry(check, notAfterMs, nowMs, { noteMs: hourMs }, mend);
  return finding.outcome === 'fine' ? [] : [finding];
}

function checkStore(connection: Connection): Promise<Finding[]> {
  const mend =
    connection.endpoints === undefined
      ? 'see whether ClickHouse runs, and --clickhouse of the control plane'
      : 'see DATA/logs/session-store.log';
  return checked('session store', mend, async () => {
    const { store, storeLag } = (await administratorRequest(connection, 'GET', '/v1/overview')) as Overview;
    if (store.status === 'none') return note('session store', 'the control plane was started without one', 'give it --clickhouse URL');
    if (store.status === 'down') return wrong('session store', `does not answer: ${printable(store.detail ?? '')}`, mend);
    if (storeLag.entries === null) return note('session store', 'answers; nothing has been ingested yet', 'see whether ingest runs');
    const behind = storeLag.entries > lagEntriesNoted || (storeLag.seconds ?? 0) > lagSecondsNoted;
    const age = storeLag.seconds === null ? '' : `, ${span(storeLag.seconds * 1000)}`;
    if (behind)
      return wrong(
        'session store',
        `is behind the log: ${storeLag.entries} entries${age}`,
        'see whether ingest runs and keeps up; its /metrics say what it does',
      );
    return fine(
      'session store',
      `answers, ${storeLag.entries === 0 ? 'with everything in it' : `${storeLag.entries} entries behind the log`}`,
    );
  });
}

export interface CredentialSource {
  credential: string;
  kinds: string[];
  problem: string | null;
  since: string | null;
  leaseEndsAt: string | null;
}

function checkCredentials(connection: Connection, nowMs: number): Promise<Finding[]> {
  return checked('credentials', 'see the control plane’s log', async () => {
    const { sources } = (await administratorRequest(connection, 'GET', '/v1/credential-sources')) as { sources: CredentialSource[] };
    return credentialFindings(sources, nowMs);
  });
}

export function credentialFindings(sources: readonly CredentialSource[], nowMs: number): Finding[] {
  const broken = sources.filter(({ problem }) => problem !== null);
  if (sources.length > 0 && broken.length === 0) {
    const kinds = [...new Set(sources.flatMap(source => source.kinds))].sort().join(', ');
    return [fine('credentials', `${sources.length} read at ${sources.length === 1 ? 'its source' : 'their sources'} (${kinds})`)];
  }
  return broken.map(({ credential, kinds, problem, since, leaseEndsAt }) => {
    const left = leaseEndsAt === null ? null : Date.parse(leaseEndsAt) - nowMs;
    const until =
      left === null
        ? 'agents go on with the one that they have'
        : left > 0
          ? `the user that Vault leased ends in ${span(left)}`
          : 'the user that Vault leased is over';
    const ago = since === null ? '' : `, for ${span(nowMs - Date.parse(since))}`;
    return wrong(
      `credential ${printable(credential)}`,
      `cannot be read (${kinds.join(', ')})${ago}: ${printable(problem ?? '')} ${until}`,
      'mend what it says at the source; it is read again by itself every half minute',
    );
  });
}

function checkSigningKeys(connection: Connection): Promise<Finding[]> {
  return checked('signing keys', 'see `sallyport control-plane rotate-signing-key --list`', async () => {
    const { keys } = (await administratorRequest(connection, 'GET', '/v1/signing-keys')) as { keys: { kind: string; old: boolean }[] };
    const old = keys.filter(key => key.old).map(({ kind }) => kind);
    if (old.length === 0) return fine('signing keys', 'none has signed for longer than a year');
    return note(
      'signing keys',
      `those of ${old.join(' and ')} have signed for more than a year`,
      'give them successors: `sallyport control-plane rotate-signing-key`',
    );
  });
}

function checkProviders(connection: Connection): Promise<Finding[]> {
  return checked('identity providers', 'see `sallyport get identityproviders`', async () => {
    const { manifests } = (await administratorRequest(connection, 'GET', '/v1/manifests/IdentityProvider')) as { manifests: Provider[] };
    if (manifests.length === 0)
      return note('identity providers', 'none is configured: nobody can sign in', 'apply an IdentityProvider manifest');
    const findings = await Promise.all(
      manifests.map(async ({ metadata, spec }) =>
        spec.oidc === undefined ? [] : await checkProvider(`identity provider ${metadata.name}`, spec.oidc.issuer),
      ),
    );
    return findings.flat();
  });
}

/** Seen from this machine: the control plane and the agents fetch keys by themselves. */
export async function checkProvider(check: string, issuer: string): Promise<Finding[]> {
  const address = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const mend = `see whether ${address} opens from here, and \`issuer\` of the manifest`;
  try {
    const found = await probe(address);
    if (found.status !== 200) return [wrong(check, `discovery answers ${found.status}`, mend)];
    const description = jsonOf(found.text);
    if (description === null) return [wrong(check, 'discovery does not answer JSON', mend)];
    if (description.issuer !== issuer) {
      return [
        wrong(
          check,
          `calls itself ${printable(String(description.issuer))}, the manifest says ${issuer}`,
          'write `issuer` letter by letter as the provider does',
        ),
      ];
    }
    const keysMend = 'the provider must publish its signing keys at `jwks_uri`';
    if (typeof description.jwks_uri !== 'string') return [wrong(check, 'discovery names no `jwks_uri`', keysMend)];
    const keys = await probe(description.jwks_uri);
    const count = (jsonOf(keys.text)?.keys as unknown[] | undefined)?.length ?? 0;
    if (keys.status !== 200 || count === 0)
      return [wrong(check, `no keys at ${printable(description.jwks_uri)} (HTTP ${keys.status})`, keysMend)];
    return [
      fine(check, `discovery and ${count} ${count === 1 ? 'key' : 'keys'} (${found.tookMs} ms)`),
      ...(found.skewMs === undefined ? [] : notFine(skew(`${check}: clock`, found.skewMs, 'it'))),
    ];
  } catch (error) {
    return [wrong(check, `cannot be reached: ${errorText(error)}`, mend)];
  }
}

function notFine(finding: Finding): Finding[] {
  return finding.outcome === 'fine' ? [] : [finding];
}

function jsonOf(text: string): Record<string, unknown> | null {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return null;
  }
}
