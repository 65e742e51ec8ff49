/** A manifest in one line. What a later version may have put into it is not guessed at. */
import type { Kind, ResourceSelector as Selector } from '@sallyport/shared/policy/model.ts';

type Loose = Record<string, unknown>;

export function summary(kind: Kind, spec: unknown): string {
  const given = (spec ?? {}) as Loose;
  const where = 'resources' in given ? ` on ${selectorText(given['resources'] as Selector)}` : '';
  switch (kind) {
    case 'Role':
      return `${membersText(given['members'] as Loose)}${where}`;
    case 'Guard': {
      const rules = (given['rules'] ?? []) as { action: string; match: Loose }[];
      return `${rules.map(({ action, match }) => `${action} ${[match['statements'] ?? []].flat().join(', ') || 'what matches'}`).join('; ')}${where}`;
    }
    case 'DataPolicy': {
      const columns = (given['columns'] ?? []) as unknown[];
      const detectors = (given['detectors'] ?? []) as unknown[];
      return `${columns.length} ${columns.length === 1 ? 'column' : 'columns'}, ${detectors.length} ${detectors.length === 1 ? 'detector' : 'detectors'}${where}`;
    }
    case 'AuditPolicy':
      return `${String(given['durability'] ?? '')}, responses ${String(given['responses'] ?? '')}${where}`;
    case 'AccessPolicy':
      return `${[given['roles'] ?? []].flat().join(', ')} for ${membersText(given['members'] as Loose)}`;
    case 'Resource':
      return `${String(given['protocol'])} at ${String(((given['upstream'] ?? {}) as Loose)['address'])}`;
    case 'IdentityProvider':
      return Object.entries(given)
        .map(
          ([protocol, settings]) =>
            `${protocol} ${String(((settings ?? {}) as Loose)['issuer'] ?? ((settings ?? {}) as Loose)['entityId'] ?? '')}`,
        )
        .join(', ');
    case 'Credential':
      return String(given['username'] ?? 'sealed');
    case 'ServiceAccount':
      return `groups ${[given['groups'] ?? []].flat().join(', ') || 'none'}`;
    default:
      return '';
  }
}

export function selectorText(selector: Selector | undefined): string {
  if (selector === undefined) return 'nothing';
  const names = selector.names ?? [];
  const labels = Object.entries(selector.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  const both = [...names, ...labels];
  return both.length === 0 ? 'every resource' : both.join(', ');
}

export function membersText(members: Loose | undefined): string {
  const { groups = [], serviceAccounts = [], principals = [] } = (members ?? {}) as Record<string, string[]>;
  return [...groups.map(each => `group ${each}`), ...serviceAccounts, ...principals].join(', ') || 'nobody';
}
