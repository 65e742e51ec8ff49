/** What a secret at rest is sealed for: it opens under no other name. */
import type { Kind } from '@sallyport/shared/policy/model.ts';

export function secretContext(kind: Kind, name: string, path: string): string {
  return `${kind}/${name}/${path}`;
}
