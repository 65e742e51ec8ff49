/**
 * What one agent is given: the resources that it serves by its labels, the policies about those, and their credentials sealed to its
 * key. Pure but for the sealing's randomness; signing and sending are elsewhere.
 */
import { seal } from '@sallyport/shared/crypto/seal.ts';
import { type CredentialFingerprint, fingerprintCredential } from '@sallyport/shared/detectors/known-credentials.ts';
import type { AccessGrant } from '@sallyport/shared/policy/access-grants.ts';
import type { LeaseBundle, LeasedSshKey, Named } from '@sallyport/shared/policy/bundle.ts';
import type { OwnContent, SharedContent } from '@sallyport/shared/policy/lease-parts.ts';
import type { AwsRdsIam, Kind, Manifest, ResourceSelector, SpecOf } from '@sallyport/shared/policy/model.ts';
import { selects } from '@sallyport/shared/policy/selectors.ts';
import { splitAddress } from '@sallyport/shared/policy/values.ts';
import type { AgentState } from '../aggregates/agent.ts';
import type { ContentKeyState } from '../aggregates/content-key.ts';
import type { Projection, StoredManifest } from '../aggregates/projection.ts';
import { type SigningKeyState, signingKeyAggregate } from '../aggregates/signing-key.ts';
import type { SshKey } from '../aggregates/ssh-key.ts';
import type { LeasedUser } from '../credentials/vault-database.ts';
import { oidcProviders } from '../manifests/identity-providers.ts';
import { awsSecretKeyPath, vaultUserPath } from '../manifests/secrets-of.ts';
import type { ControlPlaneKeys } from '../pki/keys.ts';
import type { SigningKeys } from '../pki/signing-keys.ts';
import { credentialAuthority, resourceHostKey, userAuthority } from '../pki/ssh-authorities.ts';
import { secretContext } from './secret-context.ts';

export const ticketIssuer = 'sallyport';
/** How long the groups of a sign-in are believed. */
const SIGN_IN_COUNTS_MS = 24 * 60 * 60 * 1000;

/** The part of a bundle that says what is leased; version and times are added when it is signed. */
export type LeaseContent = Omit<LeaseBundle, 'version' | 'issuedAt' | 'expiresAt'>;

/**
 * Builds leases, keeping what was sealed for an agent until it changes: equal states give equal contents, so that a change which does
 * not concern an agent can be told from one that does.
 */
export class LeaseBuilder {
  readonly #keys: ControlPlaneKeys;
  readonly #consoleUrl: string;
  readonly #signingKeys: Pick<SigningKeys, 'ticketJwks' | 'verifying'>;
  readonly #fingerprintKey: Buffer;
  /** Of credentials, by name. */
  readonly #fingerprints = new Map<string, { of: string; value: CredentialFingerprint }>();
  /** By the id of the registration. */
  #leasedKeys: ReadonlyMap<string, { of: string; value: LeasedSshKey }> = new Map();
  /** agent id → what is sealed, by context. Bounded by what each agent serves; forgotten with the agent's stream. */
  readonly #sealed = new Map<string, Map<string, { of: string; value: string }>>();

  /** @param consoleUrl where people find the console; empty: not known. */
  constructor(keys: ControlPlaneKeys, signingKeys: Pick<SigningKeys, 'ticketJwks' | 'verifying'>, consoleUrl = '') {
    this.#consoleUrl = consoleUrl;
    this.#keys = keys;
    this.#signingKeys = signingKeys;
    this.#fingerprintKey = keys.derive('known-credentials');
  }

  /** The resources that an agent with this invitation serves. */
  resourcesFor(invitation: ActiveAgent['invitation'], state: Projection): Stored<'Resource'>[] {
    const { labels, everyResource } = invitation;
    return state
      .manifests('Resource')
      .filter(
        ({ manifest }) => everyResource || matches((manifest as Manifest<'Resource'>).spec.agents.labels, labels),
      ) as Stored<'Resource'>[];
  }

  /** @throws {GatewayError} SECRET_UNSEALABLE when the key-encryption key is not the one that secrets were sealed to. */
  build(agentId: string, agent: ActiveAgent, state: Projection, nowMs: number): LeaseContent {
    const resources = this.resourcesFor(agent.invitation, state);
    const { sshUserAuthority: authority, ...shared } = this.shared(resources, state, nowMs);
    const { hostCertificates, ...own } = this.own(agentId, agent, resources, state);
    const ssh = authority === undefined ? {} : { ssh: { userAuthority: authority, hostCertificates } };
    return { agentId, ...shared, ...own, ...ssh };
  }

  /**
   * What all agents that serve these resources are told alike. The same objects as before for what has not changed.
   * @throws {GatewayError} SECRET_UNSEALABLE.
   */
  shared(resources: readonly Stored<'Resource'>[], state: Projection, nowMs: number): SharedContent {
    const about = <K extends 'Role' | 'Guard' | 'DataPolicy' | 'AuditPolicy'>(kind: K): Named<SpecOf[K]>[] =>
      (state.manifests(kind) as Stored<K>[])
        .filter(({ manifest }) => resources.some(resource => selectsResource(manifest.spec.resources, resource.manifest)))
        .map(named);
    const names = new Set(resources.map(({ manifest }) => manifest.name));
    const leaseKeys = this.#signingKeys.verifying('lease').map(({ publicKey }) => Buffer.from(publicKey).toString('base64'));
    return {
      tickets: { issuer: ticketIssuer, keys: this.#signingKeys.ticketJwks() },
      ...(this.#isRotated(state) ? { leaseKeys } : {}),
      identityProviders: oidcProviders(state),
      serviceAccounts: (state.manifests('ServiceAccount') as Stored<'ServiceAccount'>[]).map(named),
      resources: resources.map(leasedResource),
      roles: about('Role'),
      guards: about('Guard'),
      dataPolicies: about('DataPolicy'),
      auditPolicies: about('AuditPolicy'),
      knownCredentials: this.#knownCredentials(state),
      revokedTokens: state.revokedTickets(nowMs),
      ...(state.blockedPeople().length === 0 ? {} : { blockedPeople: [...state.blockedPeople()] }),
      ...(state.directoryGroups().length === 0 ? {} : { directoryGroups: [...state.directoryGroups()] }),
      ...(this.#consoleUrl === '' ? {} : { console: this.#consoleUrl }),
      ...withContentKey(state.contentKeys().current),
      ...(resources.some(({ manifest }) => manifest.spec.publicKeys === 'registered') ? this.#sshKeys(state, nowMs) : {}),
      ...withGrants(state.accessGrants(nowMs).filter(({ resource }) => names.has(resource))),
      ...(resources.some(({ manifest }) => manifest.spec.protocol === 'ssh')
        ? { sshUserAuthority: userAuthority(this.#keys).toString('base64') }
        : {}),
    };
  }

  /** Until then agents know the one key from joining, and those of an older version need not be told of it. */
  #isRotated(state: Projection): boolean {
    return (state.stream(`${signingKeyAggregate.name}/lease`).state as SigningKeyState).keys.length > 0;
  }

  /**
   * What is sealed to one agent, or names it.
   * @throws {GatewayError} SECRET_UNSEALABLE.
   */
  own(agentId: string, agent: ActiveAgent, resources: readonly Stored<'Resource'>[], state: Projection): OwnContent {
    const sealTo = Buffer.from(agent.details.keys.sealingKey, 'base64');
    const before = this.#sealed.get(agentId) ?? new Map<string, { of: string; value: string }>();
    const after = new Map<string, { of: string; value: string }>();
    this.#sealed.set(agentId, after);
    const sealedOnce = (context: string, of: string, plaintext: () => Uint8Array): string => {
      const key = `${agent.details.keys.sealingKey} ${of}`;
      const kept = before.get(context) ?? after.get(context);
      const entry = kept?.of === key ? kept : { of: key, value: Buffer.from(seal(sealTo, plaintext(), context)).toString('base64') };
      after.set(context, entry);
      return entry.value;
    };

    const credentials: Record<string, string> = {};
    const servingKeys: Record<string, string> = {};
    const maskKeys: Record<string, string> = {};
    const hostCertificates: Record<string, string> = {};
    for (const { manifest, secrets } of resources) {
      const { name } = manifest;
      maskKeys[name] = sealedOnce(`mask-key:${name}`, name, () => this.#keys.derive(`mask-key:${name}`));
      const servingKey = secrets['tls.key'];
      if (servingKey !== undefined) {
        servingKeys[name] = sealedOnce(`serving-key:${name}`, servingKey.fingerprint, () =>
          this.#open('Resource', name, 'tls.key', servingKey.sealed),
        );
      }
      if (manifest.spec.protocol === 'ssh') {
        const names = hostNames(manifest, agent.details.hostnames);
        const host = resourceHostKey(this.#keys, name, names);
        servingKeys[name] = sealedOnce(`serving-key:${name}`, `ssh ${names.join(' ')}`, () => Buffer.from(host.pem));
        hostCertificates[name] = host.certificate.toString('base64');
      }
      const credential = state.manifest('Credential', manifest.spec.credential) as Stored<'Credential'> | undefined;
      if (credential !== undefined) {
        const { password, privateKey } = credential.secrets;
        const { username = '', certificate, dynamic, awsRdsIam, vaultDatabase } = credential.manifest.spec;
        const leased = credential.secrets[vaultUserPath];
        // Agents are told that it is not there; Vault is asked again soon.
        if (vaultDatabase !== undefined && leased === undefined) continue;
        const awsSecretKey = credential.secrets[awsSecretKeyPath];
        const iam =
          awsRdsIam === undefined ? '' : `${awsRdsIam.region} ${awsRdsIam.keys?.accessKeyId ?? ''} ${awsSecretKey?.fingerprint ?? ''}`;
        const credentialName = credential.manifest.name;
        const of = `${username}\0${password?.fingerprint ?? ''}\0${privateKey?.fingerprint ?? ''}\0${certificate === true}\0${JSON.stringify(dynamic?.grants)}${iam === '' ? '' : `\0${iam}`}${leased === undefined ? '' : `\0${leased.fingerprint}`}`;
        const open = (path: string, sealed: string) => this.#open('Credential', credentialName, path, sealed).toString('utf8');
        credentials[credentialName] = sealedOnce(`credential:${credentialName}`, of, () =>
          Buffer.from(
            JSON.stringify({
              username,
              password: password === undefined ? '' : open('password', password.sealed),
              ...(leased === undefined ? {} : leasedLogin(open(vaultUserPath, leased.sealed))),
              ...(privateKey === undefined ? {} : { privateKey: open('privateKey', privateKey.sealed) }),
              ...(certificate === true ? { authorityKey: credentialAuthority(this.#keys, credentialName).pem } : {}),
              ...(dynamic === undefined ? {} : { dynamic }),
              ...(awsRdsIam === undefined
                ? {}
                : { awsRdsIam: leasedIam(awsRdsIam, awsSecretKey && open(awsSecretKeyPath, awsSecretKey.sealed)) }),
            }),
          ),
        );
      }
    }
    return { credentials, servingKeys, maskKeys, hostCertificates };
  }

  /** Forgets what was sealed for an agent that is gone. */
  forget(agentId: string): void {
    this.#sealed.delete(agentId);
  }

  /** Keys that count now, with what is known of their holders. The same objects as before for what has not changed. */
  #sshKeys(state: Projection, nowMs: number): Pick<LeaseBundle, 'sshKeys'> {
    const leased = new Map<string, { of: string; value: LeasedSshKey }>();
    for (const key of state.sshKeys.all()) {
      if (key.expiresAtMs <= nowMs) continue;
      const value = leasedSshKey(key, state, nowMs);
      const of = JSON.stringify(value);
      const kept = this.#leasedKeys.get(key.id);
      leased.set(key.id, kept?.of === of ? kept : { of, value });
    }
    this.#leasedKeys = leased;
    return leased.size === 0 ? {} : { sshKeys: [...leased.values()].map(({ value }) => value) };
  }

  /** Of every credential, also those that this agent does not get: it must spot them in what passes. */
  #knownCredentials(state: Projection): { key: string; fingerprints: CredentialFingerprint[] } {
    const stored = state.manifests('Credential');
    const names = new Set(stored.map(({ manifest }) => manifest.name));
    for (const name of this.#fingerprints.keys()) if (!names.has(name)) this.#fingerprints.delete(name);
    const fingerprints = stored.flatMap(({ manifest, secrets }) => {
      const sealed = Object.entries(secrets).sort(([a], [b]) => (a < b ? -1 : 1));
      if (sealed.length === 0) return [];
      const of = sealed.map(([path, secret]) => `${path}=${secret.fingerprint}`).join(' ');
      const kept = this.#fingerprints.get(manifest.name);
      if (kept?.of === of) return [kept.value];
      const value: CredentialFingerprint = { forms: [] };
      for (const [path, each] of sealed) {
        const secret = this.#open('Credential', manifest.name, path, each.sealed);
        const text = path === vaultUserPath ? leasedLogin(secret.toString('utf8')).password : secret.toString('utf8').trim();
        value.forms.push(...fingerprintCredential(text, this.#fingerprintKey).forms);
        secret.fill(0);
      }
      this.#fingerprints.set(manifest.name, { of, value });
      return [value];
    });
    return { key: this.#fingerprintKey.toString('base64'), fingerprints };
  }

  #open(kind: Kind, name: string, path: string, sealed: string): Buffer {
    return this.#keys.openAtRest(sealed, secretContext(kind, name, path));
  }
}

export type ActiveAgent = AgentState & { status: 'active' };
export type Stored<K extends Kind> = Omit<StoredManifest, 'manifest'> & { manifest: Manifest<K> };

/** One object for each version of a manifest, so that what is made of it is made once. */
const namedOnce = new WeakMap<object, object>();

function once<Value extends object>(manifest: object, make: () => Value): Value {
  let value = namedOnce.get(manifest) as Value | undefined;
  if (value === undefined) {
    value = make();
    namedOnce.set(manifest, value);
  }
  return value;
}

function named<K extends Kind>({ manifest }: Stored<K>): Named<SpecOf[K]> {
  return once(manifest, () => ({ name: manifest.name, spec: manifest.spec }));
}

function leasedResource({ manifest }: Stored<'Resource'>): LeaseBundle['resources'][number] {
  return once(manifest, () => ({ name: manifest.name, labels: manifest.labels, spec: withoutServingKey(manifest.spec) }));
}

/** Whether an agent is one of those that a resource's `agents.labels` name. */
export function serves(agent: Extract<AgentState, { status: 'active' }>, resource: Manifest<'Resource'>): boolean {
  const { labels, everyResource } = agent.invitation;
  return everyResource || matches(resource.spec.agents.labels, labels);
}

function matches(wanted: Record<string, string>, labels: Record<string, string>): boolean {
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value);
}

function selectsResource(selector: ResourceSelector, resource: Manifest<'Resource'>): boolean {
  return selects(selector, resource.name, resource.labels);
}

function withContentKey(current: ContentKeyState['current']): Pick<LeaseContent, 'contentKey'> {
  return current === null ? {} : { contentKey: { id: current.id, publicKey: current.publicKey } };
}

function withGrants(grants: AccessGrant[]): Pick<LeaseBundle, 'grants'> {
  return grants.length === 0 ? {} : { grants };
}

/** What clients may call a resource's listener by: the names in its host certificate. */
function hostNames(resource: Manifest<'Resource'>, hostnames: readonly string[]): string[] {
  const listen = resource.spec.listen === undefined ? null : splitAddress(resource.spec.listen);
  return [...new Set([resource.name, ...hostnames, 'localhost', '127.0.0.1', '::1', ...(listen === null ? [] : [listen.host])])];
}

/** Where the key came from is nothing to the agent, which has it sealed. */
function withoutServingKey(spec: SpecOf['Resource']): SpecOf['Resource'] {
  return spec.tls === undefined ? spec : { ...spec, tls: { certificate: spec.tls.certificate, key: { value: '' } } };
}

/**
 * A person's groups are those of the directory and, where it does not tell, of their last sign-in, which counts for a day: of somebody of
 * whom neither is known, a key says nothing.
 */
function leasedSshKey(key: SshKey, state: Projection, nowMs: number): LeasedSshKey {
  const { id, blob, expiresAtMs, holder } = key;
  const { kind, issuer, subject } = holder;
  if (kind === 'workload') return { id, blob, kind, name: holder.name, issuer, subject, expiresAtMs };
  const seen = state.sshKeys.seen(holder);
  const name = seen?.name ?? holder.name;
  const untilMs = (seen?.atMs ?? 0) + SIGN_IN_COUNTS_MS;
  return {
    ...{ id, blob, kind, name, issuer, subject, expiresAtMs },
    ...(seen === undefined || untilMs <= nowMs ? {} : { signIn: { groups: seen.groups, untilMs } }),
    ...(state.isActivePerson(name) ? { inDirectory: true } : {}),
  };
}

function leasedIam({ region, keys }: AwsRdsIam, secretAccessKey: string | undefined) {
  return { region, ...(keys === undefined ? {} : { keys: { accessKeyId: keys.accessKeyId, secretAccessKey: secretAccessKey ?? '' } }) };
}

/** What an agent needs of a user that Vault has leased: who leased it is for the agent's messages. */
function leasedLogin(json: string): { username: string; password: string; vaultDatabase: string } {
  const { username, password, from } = JSON.parse(json) as LeasedUser;
  return { username, password, vaultDatabase: from };
}
