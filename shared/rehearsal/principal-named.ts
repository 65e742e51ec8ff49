/** A principal by name, for those who ask about policy and hold no token of theirs. */
import type { Manifest, Principal } from '../policy/model.ts';

export interface Named {
  kind?: 'person' | 'workload' | undefined;
  groups?: readonly string[] | undefined;
}

/**
 * @param given what is known of them beside the name. A name without a kind is a service account's where there is one, else a
 *   person's; a service account's groups are its manifest's.
 */
export function principalNamed(name: string, given: Named, manifests: readonly Manifest[]): Principal {
  const account = manifests.find((each): each is Manifest<'ServiceAccount'> => each.kind === 'ServiceAccount' && each.name === name);
  const kind = given.kind ?? (account === undefined ? 'person' : 'workload');
  const own = kind === 'workload' ? (account?.spec.groups ?? []) : [];
  return { kind, name, issuer: '', subject: '', groups: [...(given.groups ?? own)], delegation: [] };
}
