/** Which resources a role, a guard or a policy is about. All that is given must match; an empty selector matches every one. */
import type { ResourceSelector } from './model.ts';

export function selects(selector: ResourceSelector, name: string, labels: Readonly<Record<string, string>>): boolean {
  if (selector.names !== undefined && !selector.names.includes(name)) return false;
  for (const [key, value] of Object.entries(selector.labels ?? {})) {
    if (!Object.hasOwn(labels, key) || labels[key] !== value) return false;
  }
  return true;
}
