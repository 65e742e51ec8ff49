/** By which tokens a workload is a ServiceAccount, and where in a token its claims are. Pure. */
import type { ServiceAccountSpec } from '../policy/model.ts';

/** The claim of this name; if there is none, the one that the name's dots lead to. Inherited properties are no claims. */
export function claimAt(claims: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  // `a.b/c.d` may be one name within another: the longest name that is there is taken at each step.
  const steps = name.split('.');
  let value: unknown = claims;
  for (let at = 0; at < steps.length; ) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    let end = steps.length;
    while (end > at && !Object.hasOwn(value, steps.slice(at, end).join('.'))) end--;
    if (end === at) return undefined;
    value = (value as Record<string, unknown>)[steps.slice(at, end).join('.')];
    at = end;
  }
  return value;
}

/** A claim's values as texts: of a text, a number, a truth value, or a list of those; null for anything else, or nothing. */
export function claimValues(value: unknown): string[] | null {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  if (list.length === 0 || list.length > 1000) return null;
  const texts = list.map(each => (typeof each === 'string' || typeof each === 'boolean' || Number.isFinite(each) ? String(each) : null));
  return texts.every(each => each !== null) ? texts : null;
}

/**
 * Whether a token's verified claims are those that an account trusts: the subject where one is given, and every claim, of which one value
 * must be among those that are given. A trust of an issuer alone would be a trust of everybody there; validation refuses it, and so does
 * this.
 */
export function isTrusted(trust: ServiceAccountSpec['trusts'][number], issuer: string, claims: Readonly<Record<string, unknown>>): boolean {
  const wanted = Object.entries(trust.claims ?? {});
  if (trust.issuer !== issuer || (trust.subject === undefined && wanted.length === 0)) return false;
  if (trust.subject !== undefined && claims['sub'] !== trust.subject) return false;
  return wanted.every(([name, values]) => claimValues(claimAt(claims, name))?.some(value => values.includes(value)) === true);
}
