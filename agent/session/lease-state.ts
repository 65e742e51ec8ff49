/**
 * A lease as sessions use it: the compiled policy and, by resource, what is needed to serve it. Immutable; a new lease makes a
 * new one.
 */
import { createPrivateKey, createSecretKey, type KeyObject } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { ContentKey } from '@sallyport/shared/crypto/contents.ts';
import { type CustomDetector, compileDetectors, type DetectorSet } from '@sallyport/shared/detectors/engine.ts';
import {
  type KnownCredentials,
  knownCredentials,
  knownCredentialsFromValues,
  mergeKnownCredentials,
} from '@sallyport/shared/detectors/known-credentials.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { type DirectoryGroups, directoryGroups, inDirectory } from '@sallyport/shared/identity/directory-groups.ts';
import { type AccessAdmission, type AccessGrant, admitWithGrants, rolesWithGrants } from '@sallyport/shared/policy/access-grants.ts';
import { type CompiledPolicy, compilePolicy } from '@sallyport/shared/policy/compile.ts';
import { type SessionPolicy, sessionPolicy } from '@sallyport/shared/policy/decide.ts';
import type { EnforcementDepth } from '@sallyport/shared/policy/decision.ts';
import type { Principal, ResourceSpec } from '@sallyport/shared/policy/model.ts';
import type { OpenedLease } from '../worker-messages.ts';
import { type KeyHolder, RegisteredKeys } from './registered-keys.ts';

export interface ResourceState {
  readonly name: string;
  readonly spec: ResourceSpec;
  readonly credential: Readonly<OpenedLease['credentials'][string]>;
  /** Key of `hash` and `fake` masks, 32 bytes. */
  readonly maskKey: Uint8Array;
  /** What clients see in the TLS handshake. */
  readonly secureContext: SecureContext;
  /** What clients see in the SSH handshake, and whose user certificates count; null for other protocols. */
  readonly ssh: { readonly hostKey: KeyObject; readonly hostCertificate: Buffer; readonly userAuthority: Buffer } | null;
}

/** A principal's policy on one resource, with the detectors that it asks for. */
export interface PolicyInForce {
  readonly version: number;
  readonly policy: SessionPolicy;
  /** null: no detector is asked for. */
  readonly detectors: DetectorSet | null;
  /** What holds for records: nobody is exempt there. null: the same as for the session. */
  readonly recording: { readonly policy: SessionPolicy; readonly detectors: DetectorSet | null } | null;
  /**
   * What looks at everything that a host prints, whatever the policy asks for: the credentials that this agent holds are shown to nobody,
   * whoever is exempt from what else. null: the protocol has no such output.
   */
  readonly output: { readonly released: DetectorSet; readonly recorded: DetectorSet } | null;
}

export class LeaseState {
  readonly version: number;
  readonly expiresAtMs: number;
  /** Where people can sign in while a connection waits for them; null: nowhere. */
  readonly signInProvider: { readonly issuer: string; readonly clientId: string } | null;
  /** Where people find the console; empty: not known. */
  readonly consoleUrl: string;
  /** To which keys of contents are sealed; null: there is none. */
  readonly contentKey: ContentKey | null;
  readonly resources: ReadonlyMap<string, ResourceState>;
  /** Resources that cannot be served, and why. */
  readonly problems: ReadonlyMap<string, string>;
  readonly #policy: CompiledPolicy;
  readonly #grants: readonly AccessGrant[];
  readonly #exemptGroups: ReadonlySet<string>;
  readonly #blockedPeople: ReadonlySet<string>;
  readonly #directory: DirectoryGroups;
  readonly #registeredKeys: RegisteredKeys;
  readonly #known: KnownCredentials;
  /** By value: what the agent logs in with. */
  readonly #held: KnownCredentials;
  /** Detector sets by their names: sessions with the same list share one. */
  readonly #detectors = new Map<string, DetectorSet>();

  constructor(lease: OpenedLease) {
    this.version = lease.bundle.version;
    this.expiresAtMs = Date.parse(lease.bundle.expiresAt);
    this.consoleUrl = lease.bundle.console ?? '';
    const { contentKey } = lease.bundle;
    this.contentKey =
      contentKey === undefined ? null : { id: contentKey.id, publicKey: new Uint8Array(Buffer.from(contentKey.publicKey, 'base64')) };
    if (!Number.isFinite(this.expiresAtMs)) throw new GatewayError('LEASE_MALFORMED', 'invalid', 'the lease has no valid expiry');
    this.#grants = lease.bundle.grants ?? [];
    this.#policy = compilePolicy({ ...lease.bundle, roles: rolesWithGrants(lease.bundle.roles, this.#grants) });
    this.#blockedPeople = new Set(lease.bundle.blockedPeople);
    this.#directory = directoryGroups(lease.bundle.directoryGroups);
    this.#registeredKeys = new RegisteredKeys(lease.bundle);
    this.#exemptGroups = new Set(lease.bundle.dataPolicies.flatMap(({ spec }) => spec.exempt.groups));
    this.signInProvider = signInProvider(lease.bundle.identityProviders);
    this.#known = knownCredentials(lease.bundle.knownCredentials);
    this.#held = knownCredentialsFromValues(heldValues(lease));
    const resources = new Map<string, ResourceState>();
    const problems = new Map<string, string>();
    for (const { name, spec } of lease.bundle.resources) {
      try {
        resources.set(name, resourceState(name, spec, lease));
      } catch (error) {
        problems.set(name, errorText(error));
      }
    }
    this.resources = resources;
    this.problems = problems;
  }

  /** Whom a token has named, in the groups in which the directory has them: what admission and policy are asked about. */
  principalOf(verified: Principal): Principal {
    return inDirectory(verified, this.#directory);
  }

  /** Public keys that open sessions of a resource; null: none does there. */
  registeredKeysOf(resource: string): RegisteredKeys | null {
    return this.resources.get(resource)?.spec.publicKeys === 'registered' ? this.#registeredKeys : null;
  }

  /** Who holds a key by now, where keys still open sessions of the resource. */
  holderOfKey(id: string, resource: string, now: Date): KeyHolder {
    const keys = this.registeredKeysOf(resource);
    return keys?.holder(id, now.getTime()) ?? { known: false, reason: 'public keys open no session of this resource any more' };
  }

  /** @param onlyRole the one role that may admit; absent: any. */
  admit(principal: Principal, resource: string, depth: EnforcementDepth, now: Date, onlyRole?: string): AccessAdmission {
    if (principal.kind === 'person' && this.#blockedPeople.has(principal.name.toLowerCase())) {
      return { admitted: false, code: 'PERSON_DEPROVISIONED', reason: `the directory has taken ${principal.name} out` };
    }
    return admitWithGrants(this.#policy, this.#grants, principal, resource, depth, now, onlyRole);
  }

  policyFor(principal: Principal, resource: string): PolicyInForce {
    const policy = sessionPolicy(this.#policy, principal, resource);
    const exempt = this.#exemptGroups.size > 0 && principal.groups.some(group => this.#exemptGroups.has(group));
    const unexempted = exempt ? sessionPolicy(this.#policy, { ...principal, groups: [] }, resource) : null;
    const recorded = unexempted ?? policy;
    return {
      output:
        this.resources.get(resource)?.spec.protocol === 'ssh'
          ? {
              released: this.#outputDetectors(policy.detectors, policy.customDetectors),
              recorded: this.#outputDetectors(recorded.detectors, recorded.customDetectors),
            }
          : null,
      version: this.version,
      policy,
      detectors: this.#detectorSet(policy.detectors, policy.customDetectors),
      recording:
        unexempted === null ? null : { policy: unexempted, detectors: this.#detectorSet(unexempted.detectors, unexempted.customDetectors) },
    };
  }

  /** Finds secrets, those of the lease included, in what leaves the agent on another way than sessions. */
  get secrets(): DetectorSet | null {
    return this.#detectorSet(['secrets', 'known-credentials']);
  }

  /**
   * The detectors asked for, and the values that are at hand. Not the fingerprints of those that are not, unless they are asked for:
   * looking for these takes several times as long.
   */
  #outputDetectors(names: readonly string[], custom: readonly CustomDetector[] = []): DetectorSet {
    const all = [...new Set([...names, 'known-credentials'])];
    const known = names.includes('known-credentials') ? mergeKnownCredentials(this.#known, this.#held) : this.#held;
    const key = `output\n${[...names].sort().join('\n')}\n${custom.length === 0 ? '' : JSON.stringify(custom)}`;
    let set = this.#detectors.get(key);
    if (set === undefined) {
      set = compileDetectors(all, { known, custom });
      this.#detectors.set(key, set);
    }
    return set;
  }

  #detectorSet(names: readonly string[], custom: readonly CustomDetector[] = []): DetectorSet | null {
    if (names.length === 0) return null;
    const key = `${[...names].sort().join('\n')}\n${custom.length === 0 ? '' : JSON.stringify(custom)}`;
    let set = this.#detectors.get(key);
    if (set === undefined) {
      set = compileDetectors(names, { known: this.#known, custom });
      this.#detectors.set(key, set);
    }
    return set;
  }
}

/** Passwords, keys of AWS and private keys; a key also as terminals print it. */
function heldValues({ credentials }: OpenedLease): string[] {
  const values = Object.values(credentials).flatMap(({ password, privateKey, awsRdsIam }) => {
    const key = privateKey?.trim() ?? '';
    return [password, awsRdsIam?.keys?.secretAccessKey ?? '', key, key.replaceAll(/\r?\n/g, '\r\n')];
  });
  return [...new Set(values.filter(value => value !== ''))];
}

function signInProvider(providers: OpenedLease['bundle']['identityProviders']): LeaseState['signInProvider'] {
  for (const { spec } of providers) {
    const { issuer, clientId } = spec.oidc;
    if (clientId !== undefined) return { issuer, clientId };
  }
  return null;
}

function resourceState(name: string, spec: ResourceSpec, lease: OpenedLease): ResourceState {
  const credential = lease.credentials[spec.credential];
  if (credential === undefined)
    throw new GatewayError('CREDENTIAL_MISSING', 'unavailable', `the credential ${spec.credential} is not in the lease`);
  const maskKey = lease.maskKeys[name];
  if (maskKey === undefined || maskKey.length !== 32)
    throw new GatewayError('MASK_KEY_MISSING', 'unavailable', 'the mask key is not in the lease');
  const serving = lease.serving[name] ?? lease.serving['*'];
  if (serving === undefined)
    throw new GatewayError('SERVING_CERTIFICATE_MISSING', 'unavailable', 'there is no certificate to serve clients with');
  const secureContext = createSecureContext({
    ...{ cert: serving.certificate, key: serving.key, minVersion: 'TLSv1.2', honorCipherOrder: true },
    // Clients are asked for certificates: without a context of its own OpenSSL refuses to resume their sessions.
    sessionIdContext: 'sallyport',
  });
  return { name, spec, credential, maskKey, secureContext, ssh: spec.protocol === 'ssh' ? sshState(name, lease) : null };
}

function sshState(name: string, lease: OpenedLease): ResourceState['ssh'] {
  const hostKey = lease.hostKeys?.[name];
  const certificate = lease.bundle.ssh?.hostCertificates[name];
  const authority = lease.bundle.ssh?.userAuthority;
  if (hostKey === undefined || certificate === undefined || authority === undefined)
    throw new GatewayError('HOST_KEY_MISSING', 'unavailable', 'the host key is not in the lease');
  return {
    hostKey: createPrivateKey(hostKey),
    hostCertificate: Buffer.from(certificate, 'base64'),
    userAuthority: Buffer.from(authority, 'base64'),
  };
}

/** A session's own key for digests that must not be guessed back from outside. */
export function digestKey(): KeyObject {
  return createSecretKey(crypto.getRandomValues(new Uint8Array(32)));
}
