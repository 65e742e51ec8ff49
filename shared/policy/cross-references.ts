/** Checks between manifests: names that must be unique, references that must have an end, and what looks like a slip. */

import type { Kind, Manifest, ResourceSelector } from './model.ts';
import { didYouMean } from './nearest.ts';
import { shown } from './schema.ts';
import { selects } from './selectors.ts';
import type { Position, Problem, YamlNode } from './yaml-source.ts';

/** A manifest with the tree it came from. */
export interface Located {
  file: string;
  node: YamlNode;
  manifest: Manifest;
}

/**
 * @param existing manifests in force, to which references may point.
 * @param incomplete some manifests of the set are missing because they have problems of their own: references are then not
 *   checked, for their ends may be among them.
 */
export function checkReferences(
  located: readonly Located[],
  existing: readonly Manifest[],
  incomplete: boolean,
): { problems: Problem[]; warnings: Problem[] } {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  checkUnique(located, problems);
  if (incomplete) return { problems, warnings };
  const given = new Set(located.map(({ manifest }) => `${manifest.kind}/${manifest.name}`));
  const all = [...located.map(({ manifest }) => manifest), ...existing.filter(each => !given.has(`${each.kind}/${each.name}`))];
  const names = (kind: Kind): string[] => all.filter(each => each.kind === kind).map(each => each.name);
  const resources = all.filter(manifest => isA(manifest, 'Resource'));
  for (const item of located) {
    const { manifest } = item;
    const at = (...path: (string | number)[]) => ({ file: item.file, ...positionAt(item.node, path) });
    if (isA(manifest, 'Resource')) {
      const credentials = names('Credential');
      const { credential } = manifest.spec;
      if (!credentials.includes(credential)) {
        const hint = didYouMean(credential, credentials) || '; add one to the manifests';
        problems.push({ ...at('spec', 'credential'), message: `there is no Credential called ${shown(credential)}${hint}` });
      }
    } else if (isA(manifest, 'Role') || isA(manifest, 'AccessPolicy')) {
      const accounts = names('ServiceAccount');
      manifest.spec.members.serviceAccounts.forEach((account, index) => {
        if (accounts.includes(account)) return;
        const message = `there is no ServiceAccount called ${shown(account)}${didYouMean(account, accounts)}`;
        warnings.push({ ...at('spec', 'members', 'serviceAccounts', index), message });
      });
    }
    if ('resources' in manifest.spec) checkSelector(manifest.spec.resources, resources, at, warnings);
  }
  checkPasswords(located, all, problems);
  checkSharedListeners(located, resources, problems);
  checkIssuers(located, all, problems);
  return { problems, warnings };
}

/** PostgreSQL takes a password: a credential without one would be found out at the first connection of a client. */
function checkPasswords(located: readonly Located[], all: readonly Manifest[], problems: Problem[]): void {
  const position = (manifest: Manifest, ...path: string[]): ({ file: string } & Position) | null => {
    const item = located.find(each => each.manifest === manifest);
    return item === undefined ? null : { file: item.file, ...positionAt(item.node, path) };
  };
  for (const resource of all) {
    if (!isA(resource, 'Resource')) continue;
    const credential = all.find(each => each.kind === 'Credential' && each.name === resource.spec.credential);
    if (credential === undefined || !isA(credential, 'Credential')) continue;
    const wrong = unfit(resource, credential);
    if (wrong === null) continue;
    const at = position(resource, 'spec', 'credential') ?? position(credential, 'spec');
    // Where both are in force already, this change has nothing to do with it.
    if (at !== null) problems.push({ ...at, message: `Credential ${shown(credential.name)} ${wrong}` });
  }
}

/** Why the resource cannot be logged in to with the credential, to follow its name; null when it can. */
function unfit({ name, spec: { protocol, upstream } }: Manifest<'Resource'>, { spec }: Manifest<'Credential'>): string | null {
  const resource = `Resource ${shown(name)} (${protocol})`;
  if (protocol === 'postgres') {
    if (spec.awsRdsIam !== undefined) {
      return upstream.tls.mode === 'verify-full'
        ? null
        : `is for tokens of IAM (\`awsRdsIam\`), which go over the wire as they are: ${resource} needs \`tls.mode: verify-full\``;
    }
    return spec.password === undefined && spec.vaultDatabase === undefined ? `has no \`password\`, which ${resource} needs` : null;
  }
  for (const field of ['dynamic', 'awsRdsIam', 'vaultDatabase'] as const)
    if (spec[field] !== undefined) return `is \`${field}\`, which ${resource} cannot be`;
  return null;
}

function isA<K extends Kind>(manifest: Manifest, kind: K): manifest is Manifest<K> {
  return manifest.kind === kind;
}

function checkUnique(located: readonly Located[], problems: Problem[]): void {
  const first = new Map<string, Located>();
  for (const item of located) {
    const key = `${item.manifest.kind}/${item.manifest.name}`;
    const before = first.get(key);
    if (before === undefined) {
      first.set(key, item);
      continue;
    }
    const { line } = positionAt(before.node, ['metadata', 'name']);
    const message = `there is already a ${item.manifest.kind} called ${shown(item.manifest.name)}, in ${before.file}, line ${line}`;
    problems.push({ file: item.file, ...positionAt(item.node, ['metadata', 'name']), message });
  }
}

/** A selector that selects nothing is legal (the resource may come later) but more often a slip. */
function checkSelector(
  selector: ResourceSelector,
  resources: readonly Manifest<'Resource'>[],
  at: (...path: (string | number)[]) => Problem | Omit<Problem, 'message'>,
  warnings: Problem[],
): void {
  const names = resources.map(resource => resource.name);
  let named = true;
  (selector.names ?? []).forEach((name, index) => {
    if (names.includes(name)) return;
    named = false;
    warnings.push({
      ...at('spec', 'resources', 'names', index),
      message: `there is no Resource called ${shown(name)}${didYouMean(name, names)}`,
    });
  });
  if (named && resources.length > 0 && !resources.some(resource => selects(selector, resource.name, resource.labels))) {
    warnings.push({ ...at('spec', 'resources'), message: 'no Resource matches this selector, so it applies to nothing' });
  }
}

function checkSharedListeners(located: readonly Located[], resources: readonly Manifest<'Resource'>[], problems: Problem[]): void {
  for (const item of located) {
    const { manifest } = item;
    if (!isA(manifest, 'Resource') || manifest.spec.listen === undefined) continue;
    const { listen, agents } = manifest.spec;
    const other = resources.find(
      each => each.name !== manifest.name && each.spec.listen === listen && sameAgents(each.spec.agents.labels, agents.labels),
    );
    // Of two in the files only the later is reported, of one in the files and one in force the one in the files.
    if (other === undefined || located.findIndex(each => each.manifest === other) > located.indexOf(item)) continue;
    const position = positionAt(item.node, ['spec', 'listen']);
    problems.push({ file: item.file, ...position, message: `${shown(listen)} is already where Resource ${shown(other.name)} listens` });
  }
}

function sameAgents(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  // Different labels may select the same agent, but also different ones; only what is certain is an error.
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every(key => a[key] === b[key]);
}

/** One issuer must lead to one provider, and one workload's token to one service account: else the reading order would decide. */
function checkIssuers(located: readonly Located[], all: readonly Manifest[], problems: Problem[]): void {
  const issuers = new Map<string, Manifest>();
  const workloads = new Map<string, Manifest>();
  const positions = new Map(located.map(item => [item.manifest, item]));
  // Those in force come first, so that the problem is reported at the file.
  const ordered = all.toSorted((a, b) => Number(positions.has(a)) - Number(positions.has(b)));
  const claim = (
    claimed: Map<string, Manifest>,
    key: string,
    manifest: Manifest,
    path: (string | number)[],
    message: (other: Manifest) => string,
  ): void => {
    const other = claimed.get(key);
    const item = positions.get(manifest);
    if (other === undefined) claimed.set(key, manifest);
    else if (item !== undefined) problems.push({ file: item.file, ...positionAt(item.node, path), message: message(other) });
  };
  for (const manifest of ordered) {
    if (isA(manifest, 'IdentityProvider')) {
      // OpenID's and SAML's names do not meet: a server of both may use one for both.
      const protocol = manifest.spec.oidc === undefined ? 'saml' : 'oidc';
      const issuer = (manifest.spec.oidc ?? manifest.spec.saml)?.issuer ?? '';
      claim(
        issuers,
        `${protocol} ${issuer}`,
        manifest,
        ['spec', protocol, 'issuer'],
        other => `IdentityProvider ${shown(other.name)} already has this issuer`,
      );
    } else if (isA(manifest, 'ServiceAccount')) {
      manifest.spec.trusts.forEach(({ issuer, subject = null, claims = {} }, index) => {
        const message = (other: Manifest) =>
          `ServiceAccount ${shown(other.name)} already trusts this issuer and subject${Object.keys(claims).length > 0 ? ' with the same claims' : ''}`;
        const wanted = Object.entries(claims).sort(([a], [b]) => (a < b ? -1 : 1));
        claim(workloads, JSON.stringify([issuer, subject, wanted]), manifest, ['spec', 'trusts', index], message);
      });
    }
  }
}

/** Where a field stands in the file; the nearest enclosing value when it is not written. */
function positionAt(node: YamlNode, path: readonly (string | number)[]): Position {
  let at = node;
  for (const step of path) {
    const next: YamlNode | undefined =
      at.type === 'mapping'
        ? at.entries.find(entry => entry.key === step)?.value
        : at.type === 'sequence' && typeof step === 'number'
          ? at.items[step]
          : undefined;
    if (next === undefined) break;
    at = next;
  }
  return { line: at.line, column: at.column };
}
