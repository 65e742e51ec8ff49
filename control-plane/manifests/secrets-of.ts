/** Which fields of a manifest are secrets: the only place that knows. */
import type { Manifest, SecretSource } from '@sallyport/shared/policy/model.ts';

/** Stands in an applied manifest where a secret's value was given in the manifest itself. */
export const sealedPlaceholder = '(sealed)';

/** The manifest's secrets by their path in the spec. */
export function secretsOf(manifest: Manifest): { path: string; source: SecretSource }[] {
  if (isKind(manifest, 'Credential')) return [{ path: 'password', source: manifest.spec.password }];
  if (isKind(manifest, 'Resource') && manifest.spec.tls !== undefined) return [{ path: 'tls.key', source: manifest.spec.tls.key }];
  return [];
}

/** The manifest as it may be stored and shown: plain JSON, without values of secrets. */
export function withoutSecrets(manifest: Manifest): Manifest {
  const copy = JSON.parse(JSON.stringify(manifest)) as Manifest;
  if (isKind(copy, 'Credential')) copy.spec.password = shown(copy.spec.password);
  if (isKind(copy, 'Resource') && copy.spec.tls !== undefined) copy.spec.tls.key = shown(copy.spec.tls.key);
  return copy;
}

function shown(source: SecretSource): SecretSource {
  return 'value' in source ? { value: sealedPlaceholder } : source;
}

export function isKind<K extends Manifest['kind']>(manifest: Manifest, kind: K): manifest is Manifest<K> & Manifest {
  return manifest.kind === kind;
}
