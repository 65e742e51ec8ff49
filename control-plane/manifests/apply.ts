/**
 * Applies manifests: validates them again (whatever the client did), resolves and seals their secrets, says what changes, and, unless
 * it is a rehearsal, makes the changes. Nothing is changed when anything is wrong.
 */

import { isAbsolute } from 'node:path';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { type Problem, parseManifests, problemText } from '@sallyport/shared/policy/manifests.ts';
import type { Kind, Manifest, Principal, SecretSource } from '@sallyport/shared/policy/model.ts';
import { readYaml, type YamlNode } from '@sallyport/shared/policy/yaml-source.ts';
import { approvalAggregate } from '../aggregates/approval.ts';
import type { ChangeParty, ProposedItem } from '../aggregates/change.ts';
import { type Action, action, type ControlLog, type Outcome, type Provenance } from '../aggregates/control-log.ts';
import { type Rejection, reject } from '../aggregates/decider.ts';
import { manifestAggregates, manifestKinds, type SealedSecret } from '../aggregates/manifest.ts';
import { shapesAudit } from '../aggregates/policy-authors.ts';
import type { Projection, StoredManifest } from '../aggregates/projection.ts';
import { credsPath, type LeasedUser } from '../credentials/vault-database.ts';
import { secretContext } from '../leases/secret-context.ts';
import type { ControlPlaneKeys } from '../pki/keys.ts';
import { type Difference, differences } from './diff.ts';
import { LeasedUsers } from './leased-users.ts';
import type { SecretSources } from './secret-sources.ts';
import { isKind, secretsOf, vaultUserPath, withoutSecrets } from './secrets-of.ts';
import { ownAuditChanged } from './separation.ts';
import { SourceHealth, sourceKind } from './source-health.ts';

export interface ManifestFile {
  /** Path on this machine; relative sources in it start at its folder. */
  file: string;
  text: string;
}

export interface Change {
  kind: Kind;
  name: string;
  change: 'created' | 'configured' | 'unchanged' | 'deleted';
  diff: Difference[];
}

export interface Applied {
  changes: Change[];
  warnings: Problem[];
  /** Versions that the named manifests had before, 0 for those that were not there: what a plan was made on. */
  versions: [name: string, version: bigint][];
}

/** Said no: what is changed is not at the version that the editor has looked at. */
export const manifestMoved = 'MANIFEST_MOVED';

/** Whether the versions are those that the editor goes by. */
export type VersionCheck = (versions: Applied['versions']) => boolean;

/** Thrown for bad manifests: carries every problem with its place. */
export class ManifestsInvalid extends GatewayError {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    const [first] = problems;
    const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
    super('MANIFEST_INVALID', 'invalid', `${first === undefined ? 'The manifests are not valid.' : problemText(first)}${more}`);
    this.problems = problems;
  }
}

/** What restricts comes before what is restricted, what grants comes last: a reader half-way through sees less, never more. */
const order: Kind[] = [
  'IdentityProvider',
  'Credential',
  'Guard',
  'DataPolicy',
  'AuditPolicy',
  'ServiceAccount',
  'Resource',
  'Role',
  'AccessPolicy',
  'Channel',
];

export class ManifestStore {
  readonly #control: ControlLog;
  readonly #keys: ControlPlaneKeys;
  readonly #sources: SecretSources;
  readonly #users: LeasedUsers;
  /** How reading credentials at their sources went, the last time. */
  readonly sourceHealth: SourceHealth;

  constructor(control: ControlLog, keys: ControlPlaneKeys, sources: SecretSources, clock: () => number = Date.now) {
    this.#control = control;
    this.#keys = keys;
    this.#sources = sources;
    this.#users = new LeasedUsers(sources.users);
    this.sourceHealth = new SourceHealth(clock);
  }

  /**
   * @param isExpected of the versions before: false refuses the change, also when they move between the check and the log.
   * @param editor whose change it is; null: the administrator's token, which says nothing about who holds it.
   * @throws {ManifestsInvalid} AUDIT_OWN, MANIFEST_MOVED, or the log's errors.
   */
  async apply(
    files: readonly ManifestFile[],
    provenance: Provenance,
    dryRun: boolean,
    editor: Principal | null,
    isExpected: VersionCheck | null = null,
  ): Promise<Applied> {
    const { prepared, warnings } = await this.#prepare(files);
    const { state } = this.#control;
    const separation = this.#separation(
      editor,
      prepared.map(({ manifest }) => manifest),
      [],
    );
    this.#mustBeSeparate(separation);
    const changes = prepared.map(({ manifest, secrets }) => changeOf(state.manifest(manifest.kind, manifest.name), manifest, secrets));
    const versions = prepared.map(({ manifest: { kind, name } }) => this.#version(kind, name));
    if (isExpected?.(versions) === false) throw moved();
    if (!dryRun) {
      const issued = await this.#issueUsers(prepared, files);
      const actions = prepared.map(({ manifest, secrets }, index) =>
        this.#at(
          versions[index],
          action(manifestAggregates[manifest.kind], manifest.name, { type: 'apply', manifest, secrets }),
          isExpected,
          separation,
        ),
      );
      try {
        await this.#execute(actions, provenance);
      } catch (error) {
        for (const { user } of issued) await this.#users.giveBack(user);
        throw error;
      }
      for (const { credential, user } of issued) this.#users.keep(credential, user);
    }
    return { changes, warnings, versions };
  }

  /**
   * What a change would make of the manifests, for somebody to review: only what differs from what is in force.
   * @throws {ManifestsInvalid} MANIFEST_UNKNOWN, MANIFEST_IN_USE, AUDIT_OWN.
   */
  async prepare(
    files: readonly ManifestFile[],
    deletions: readonly { kind: Kind; name: string }[],
    author: Principal,
  ): Promise<ProposedItem[]> {
    const { prepared } = await this.#prepare(files);
    const { state } = this.#control;
    const items = prepared.flatMap(({ manifest, secrets }): ProposedItem[] => {
      const { kind, name, change, diff } = changeOf(state.manifest(manifest.kind, manifest.name), manifest, secrets);
      if (change === 'unchanged' || change === 'deleted') return [];
      return [{ kind, name, version: Number(this.#version(kind, name)[1]), manifest, secrets, change, diff }];
    });
    for (const { kind, name } of deletions) {
      const { manifest } = deletable(state, kind, name);
      const diff = differences(document(manifest), undefined);
      items.push({ kind, name, version: Number(this.#version(kind, name)[1]), manifest: null, secrets: {}, change: 'deleted', diff });
    }
    const own = this.ownAudit(items, [author], state);
    if (own !== null) throw new GatewayError(own.code, own.kind, own.message);
    return items;
  }

  /** AUDIT_OWN when one of them would change how they are audited themselves. */
  ownAudit(items: readonly ProposedItem[], parties: readonly ChangeParty[], state: Projection): Rejection | null {
    const [applied, deleted] = [appliedBy(items), deletedBy(items, state)];
    for (const party of parties) {
      const own = this.#separation({ ...party, delegation: [] }, applied, deleted)?.(state) ?? [];
      if (own.length > 0) return auditOwn(own);
    }
    return null;
  }

  /** Applies what was reviewed, on the versions that it was proposed on. What is as it was proposed already stays as it is. */
  applyReviewed(items: readonly ProposedItem[], author: ChangeParty, approver: ChangeParty, provenance: Provenance): Promise<Outcome> {
    const { name, issuer, subject } = approver;
    const approvedBy = { name, issuer, subject };
    const actions = items.map(({ kind, name: of, version, manifest, secrets }): Action => {
      const request =
        manifest === null ? ({ type: 'delete', approvedBy } as const) : ({ type: 'apply', manifest, secrets, approvedBy } as const);
      const inner = action(manifestAggregates[kind], of, request);
      return {
        stream: inner.stream,
        looksAt: separationLooksAt,
        decide: (current, all) => {
          const decision = inner.decide(current, all);
          if (!decision.accepted || decision.events.length === 0) return decision;
          if (all.stream(inner.stream).version !== BigInt(version)) return reject(manifestMoved, 'conflict', moved().message);
          const own = this.ownAudit(items, [author, approver], all);
          return own === null ? decision : { accepted: false, rejection: own };
        },
      };
    });
    return this.#control.execute(actions, provenance);
  }

  /**
   * Reads the secrets of credentials anew that may have changed at their sources: in Vault, in AWS Secrets Manager, in files with absolute
   * paths. What changed becomes an event; agents use it for the sessions that come, and those that are there go on. A source that cannot
   * be asked changes nothing. Users that Vault leases are renewed, and replaced when they cannot be for much longer.
   * @returns the credentials that changed.
   */
  async refreshSecrets(onProblem: (credential: string, error: unknown) => void): Promise<string[]> {
    const changed: string[] = [];
    const credentials = this.#control.state.manifests('Credential');
    await this.#users.endOthers(new Set(credentials.map(({ manifest }) => manifest.name)), onProblem);
    const sourced = new Map(credentials.map(stored => [stored.manifest.name, outsideSources(stored.manifest)] as const));
    this.sourceHealth.keepOnly(new Set([...sourced].filter(([, kinds]) => kinds.length > 0).map(([name]) => name)));
    for (const { manifest, secrets, version } of credentials) {
      const kinds = sourced.get(manifest.name) ?? [];
      const checked = (error: unknown) => {
        if (kinds.length > 0) this.sourceHealth.checked(manifest.name, kinds, this.#users.endsAtMs(manifest.name), error);
      };
      let user: LeasedUser | null = null;
      try {
        const fresh = { ...secrets };
        user = await this.#userDue(manifest, secrets);
        if (user !== null) fresh[vaultUserPath] = this.#sealUser(manifest.name, user);
        for (const { path, source } of secretsOf(manifest)) {
          if (!mayChange(source)) continue;
          const context = secretContext(manifest.kind, manifest.name, path);
          const secret = await this.#sources.secret(source, '/');
          const fingerprint = this.#keys.fingerprint(secret, context);
          if (fingerprint !== secrets[path]?.fingerprint) fresh[path] = { sealed: this.#keys.sealAtRest(secret, context), fingerprint };
          secret.fill(0);
        }
        if (Object.keys(fresh).every(path => fresh[path] === secrets[path])) {
          checked(null);
          continue;
        }
        // Of what it is now: an apply that came meanwhile must not be undone by a secret.
        const stream = `${manifestKinds.Credential}/${manifest.name}`;
        const apply = action(manifestAggregates.Credential, manifest.name, { type: 'apply', manifest, secrets: fresh });
        await this.#execute([this.#at([stream, version], apply, () => true, null)], {
          ...{ author: 'system', authorAddress: '', requestId: '' },
          reason: 'the secret has changed at its source',
        });
        if (user !== null) this.#users.keep(manifest.name, user);
        checked(null);
        changed.push(manifest.name);
      } catch (error) {
        if (user !== null) await this.#users.giveBack(user);
        if (error instanceof GatewayError && error.code === manifestMoved) continue; // The next round sees what it is by then.
        checked(error);
        onProblem(manifest.name, error);
      }
    }
    return changed;
  }

  /** @throws {GatewayError} MANIFEST_UNKNOWN, MANIFEST_IN_USE, AUDIT_OWN, MANIFEST_MOVED. */
  async delete(
    kind: Kind,
    name: string,
    provenance: Provenance,
    editor: Principal | null,
    isExpected: VersionCheck | null = null,
  ): Promise<Change> {
    const { state } = this.#control;
    const stored = deletable(state, kind, name);
    const separation = this.#separation(editor, [], [stored.manifest]);
    this.#mustBeSeparate(separation);
    const version = this.#version(kind, name);
    if (isExpected?.([version]) === false) throw moved();
    await this.#execute(
      [this.#at(version, action(manifestAggregates[kind], name, { type: 'delete' }), isExpected, separation)],
      provenance,
    );
    return { kind, name, change: 'deleted', diff: differences(document(stored.manifest), undefined) };
  }

  /** Validated, in the order that they are applied in, with secrets sealed. @throws {ManifestsInvalid} */
  async #prepare(files: readonly ManifestFile[]): Promise<{ prepared: Prepared[]; warnings: Problem[] }> {
    const { state } = this.#control;
    const parsed = parseManifests(
      files.map(({ file, text }) => ({ path: file, text })),
      { readFile: (path, from) => this.#sources.readFile(path, from), existing: allManifests(state) },
    );
    if (parsed.problems.length > 0) throw new ManifestsInvalid(parsed.problems);
    const places = new Places(files);
    const problems: Problem[] = [];
    const prepared: Prepared[] = [];
    for (const manifest of parsed.manifests.toSorted((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))) {
      prepared.push({ manifest: withoutSecrets(manifest), secrets: await this.#seal(manifest, places, problems) });
    }
    if (problems.length > 0) throw new ManifestsInvalid(problems);
    return { prepared, warnings: parsed.warnings };
  }

  #version(kind: Kind, name: string): [string, bigint] {
    const stream = `${manifestKinds[kind]}/${name}`;
    return [stream, this.#control.state.stream(stream).version];
  }

  /**
   * The action, refused when its stream has moved on and the editor goes by versions, or when the editor would change their own audit:
   * asked at every attempt, of the state that the event then expects.
   */
  #at(version: [string, bigint] | undefined, of: Action, isExpected: VersionCheck | null, separation: Separation | null): Action {
    const { stream } = of;
    return {
      stream,
      ...(separation === null ? {} : { looksAt: separationLooksAt }),
      decide: (state, all) => {
        if (version !== undefined && isExpected !== null && all.stream(stream).version !== version[1])
          return reject(manifestMoved, 'conflict', moved().message);
        const own = separation?.(all) ?? [];
        return own.length > 0 ? { accepted: false, rejection: auditOwn(own) } : of.decide(state, all);
      },
    };
  }

  async #execute(actions: Action[], provenance: Provenance): Promise<void> {
    const outcome = await this.#control.execute(actions, provenance);
    if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
  }

  /** Which resources' audit the editor would change of their own, on a state; null: nobody's token edits. */
  #separation(editor: Principal | null, applied: readonly Manifest[], deleted: readonly Manifest[]): Separation | null {
    if (editor === null) return null;
    const gone = new Set([...applied, ...deleted].map(({ kind, name }) => `${kind}/${name}`));
    return state => {
      const before = allManifests(state);
      return ownAuditChanged(editor, {
        before,
        after: [...before.filter(({ kind, name }) => !gone.has(`${kind}/${name}`)), ...applied],
        existed: name => state.stream(`resource/${name}`).version > 0n,
        shaped: name => shapesAudit(state, editor, name, Date.now()),
        granted: name =>
          state
            .accessGrants(Date.now())
            .some(
              ({ resource, principal }) => resource === name && principal.issuer === editor.issuer && principal.subject === editor.subject,
            ),
      });
    };
  }

  /** @throws {GatewayError} AUDIT_OWN. */
  #mustBeSeparate(separation: Separation | null): void {
    const own = separation?.(this.#control.state) ?? [];
    if (own.length === 0) return;
    const { code, kind, message } = auditOwn(own);
    throw new GatewayError(code, kind, message);
  }

  async #seal(manifest: Manifest, places: Places, problems: Problem[]): Promise<Record<string, SealedSecret>> {
    const sealed = this.#userInForce(manifest);
    for (const { path, source } of secretsOf(manifest)) {
      const place = places.find(manifest, path);
      const context = secretContext(manifest.kind, manifest.name, path);
      try {
        const secret = await this.#sources.secret(source, place.file);
        sealed[path] = { sealed: this.#keys.sealAtRest(secret, context), fingerprint: this.#keys.fingerprint(secret, context) };
      } catch (error) {
        problems.push({ ...place, message: errorText(error) });
      }
    }
    return sealed;
  }

  /** The user that Vault has leased for this credential already, by the same role. */
  #userInForce(manifest: Manifest): Record<string, SealedSecret> {
    const secret = this.#control.state.manifest(manifest.kind, manifest.name)?.secrets[vaultUserPath];
    return secret !== undefined && this.#userOf(manifest, secret) !== null ? { [vaultUserPath]: secret } : {};
  }

  #userOf(manifest: Manifest, { sealed }: SealedSecret): LeasedUser | null {
    if (!isKind(manifest, 'Credential') || manifest.spec.vaultDatabase === undefined) return null;
    const opened = this.#keys.openAtRest(sealed, secretContext('Credential', manifest.name, vaultUserPath));
    const user = JSON.parse(opened.toString('utf8')) as LeasedUser;
    opened.fill(0);
    return user.from === credsPath(manifest.spec.vaultDatabase) ? user : null;
  }

  #sealUser(credential: string, user: LeasedUser): SealedSecret {
    const context = secretContext('Credential', credential, vaultUserPath);
    const secret = Buffer.from(JSON.stringify(user));
    const sealed = { sealed: this.#keys.sealAtRest(secret, context), fingerprint: this.#keys.fingerprint(secret, context) };
    secret.fill(0);
    return sealed;
  }

  /** Another user for a credential whose own is not there or will not be for long; null: none is needed. @throws {GatewayError} SECRET_MISSING. */
  async #userDue(manifest: Manifest, secrets: Readonly<Record<string, SealedSecret>>): Promise<LeasedUser | null> {
    if (!isKind(manifest, 'Credential') || manifest.spec.vaultDatabase === undefined) return null;
    const secret = secrets[vaultUserPath];
    const current = secret === undefined ? null : this.#userOf(manifest, secret);
    if (current !== null && !(await this.#users.isDue(manifest.name, current))) return null;
    return this.#users.issue(manifest.spec.vaultDatabase);
  }

  /**
   * Has the users made that credentials need and do not have yet: after everything else was checked, since each is one more in the database.
   * @throws {ManifestsInvalid}
   */
  async #issueUsers(prepared: readonly Prepared[], files: readonly ManifestFile[]): Promise<{ credential: string; user: LeasedUser }[]> {
    const issued: { credential: string; user: LeasedUser }[] = [];
    for (const { manifest, secrets } of prepared) {
      try {
        const user = secrets[vaultUserPath] === undefined ? await this.#userDue(manifest, secrets) : null;
        if (user === null) continue;
        secrets[vaultUserPath] = this.#sealUser(manifest.name, user);
        issued.push({ credential: manifest.name, user });
      } catch (error) {
        for (const { user } of issued) await this.#users.giveBack(user);
        throw new ManifestsInvalid([{ ...new Places(files).find(manifest, 'vaultDatabase'), message: errorText(error) }]);
      }
    }
    return issued;
  }
}

interface Prepared {
  manifest: Manifest;
  secrets: Record<string, SealedSecret>;
}

function appliedBy(items: readonly ProposedItem[]): Manifest[] {
  return items.flatMap(({ manifest }) => manifest ?? []);
}

function deletedBy(items: readonly ProposedItem[], state: Projection): Manifest[] {
  return items.flatMap(({ kind, name, manifest }) => (manifest === null ? (state.manifest(kind, name)?.manifest ?? []) : []));
}

/** @throws {GatewayError} MANIFEST_UNKNOWN, MANIFEST_IN_USE. */
function deletable(state: Projection, kind: Kind, name: string): StoredManifest {
  const stored = state.manifest(kind, name);
  if (stored === undefined) throw new GatewayError('MANIFEST_UNKNOWN', 'notFound', `There is no ${kind} ${name}.`);
  const users = usersOf(state, kind, name);
  if (users.length === 0) return stored;
  throw new GatewayError('MANIFEST_IN_USE', 'conflict', `${kind} ${name} is in use by ${users.join(', ')}. Change or delete those first.`);
}

type Separation = (state: Projection) => string[];

/** What a change of the editor's own audit is judged by; access for a time comes with approvals. */
const separationLooksAt: readonly string[] = [
  manifestKinds.Resource,
  manifestKinds.Role,
  manifestKinds.AuditPolicy,
  approvalAggregate.name,
];

function auditOwn(resources: readonly string[]): Rejection {
  return {
    code: 'AUDIT_OWN',
    kind: 'denied',
    message: `This changes what is recorded of ${resources.join(', ')}, which you may use yourself: whoever is audited does not decide how. Ask somebody who may not use it.`,
  };
}

function moved(): GatewayError {
  return new GatewayError(manifestMoved, 'conflict', 'It has changed since you looked: look again, and decide again.');
}

/** The environment of a process stays as it is, and where a relative path starts is not known any more. */
function mayChange(source: SecretSource): boolean {
  return 'vault' in source || 'awsSecret' in source || ('file' in source && isAbsolute(source.file));
}

/** What a credential has from outside of manifests and the environment, as people call it. */
function outsideSources(manifest: Manifest): string[] {
  const kinds = secretsOf(manifest).flatMap(({ source }) => (mayChange(source) ? [sourceKind(source)] : []));
  const leased = (manifest as Manifest<'Credential'>).spec.vaultDatabase === undefined ? [] : ['Vault database'];
  return [...new Set([...kinds, ...leased])];
}

/** A manifest as people write it. */
export function document(manifest: Manifest): {
  apiVersion: string;
  kind: Kind;
  metadata: { name: string; labels: Record<string, string> };
  spec: unknown;
} {
  const { kind, name, labels, spec } = manifest;
  return { apiVersion: 'sallyport.dev/v1', kind, metadata: { name, labels }, spec };
}

export function allManifests(state: Projection): Manifest[] {
  return order.flatMap(kind => state.manifests(kind).map(({ manifest }) => manifest));
}

function changeOf(stored: StoredManifest | undefined, manifest: Manifest, secrets: Record<string, SealedSecret>): Change {
  const { kind, name } = manifest;
  if (stored === undefined) return { kind, name, change: 'created', diff: differences(undefined, document(manifest)) };
  const diff = differences(document(stored.manifest), document(manifest));
  for (const [path, { fingerprint }] of Object.entries(secrets)) {
    const before = stored.secrets[path];
    if (before?.fingerprint === fingerprint) continue;
    diff.push({ path: `spec.${path}`, before: before === undefined ? '(none)' : '(another secret)', after: '(a new secret)' });
  }
  return { kind, name, change: diff.length === 0 ? 'unchanged' : 'configured', diff };
}

/** Who would be left with a reference to nothing. */
function usersOf(state: Projection, kind: Kind, name: string): string[] {
  if (kind !== 'Credential') return [];
  return state
    .manifests('Resource')
    .filter(({ manifest }) => (manifest as Manifest<'Resource'>).spec.credential === name)
    .map(({ manifest }) => `Resource ${manifest.name}`);
}

/** Finds where in the files a manifest's field stands. The files have been parsed without problems before. */
class Places {
  readonly #documents: { file: string; kind: string; name: string; node: YamlNode }[];

  constructor(files: readonly ManifestFile[]) {
    this.#documents = files.flatMap(({ file, text }) =>
      readYaml(file, text).documents.map(node => ({
        file,
        kind: scalar(child(node, 'kind')),
        name: scalar(child(child(node, 'metadata'), 'name')),
        node,
      })),
    );
  }

  /** @param path in the spec, with dots. */
  find(manifest: Manifest, path: string): Omit<Problem, 'message'> {
    const found = this.#documents.find(({ kind, name }) => kind === manifest.kind && name === manifest.name);
    if (found === undefined) return { file: '', line: 1, column: 1 };
    let node: YamlNode = found.node;
    for (const key of ['spec', ...path.split('.')]) node = child(node, key) ?? node;
    return { file: found.file, line: node.line, column: node.column };
  }
}

function child(node: YamlNode | undefined, key: string): YamlNode | undefined {
  return node?.type === 'mapping' ? node.entries.find(entry => entry.key === key)?.value : undefined;
}

function scalar(node: YamlNode | undefined): string {
  return node?.type === 'scalar' ? String(node.value) : '';
}
