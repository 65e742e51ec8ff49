/**
 * Whether data policies in force protect a column, and the manifest that would. Pure. What a session gets is decided at the agent by
 * the same patterns; exemptions of people are not looked at here.
 */
import type { DataPolicySpec, Manifest, MaskKind } from '@sallyport/shared/policy/model.ts';
import { COLUMN_FORMS, isPattern, matchName, parsePattern } from '@sallyport/shared/policy/patterns.ts';
import { selects } from '@sallyport/shared/policy/selectors.ts';

export interface Protection {
  policy: string;
  action: 'mask' | 'deny';
  /** Of `mask`. */
  as: MaskKind;
}

export interface ProtectedResource {
  name: string;
  labels: Readonly<Record<string, string>>;
}

/** @param column `schema.table.column` as records have it. */
export function protectionOf(policies: readonly Manifest<'DataPolicy'>[], resource: ProtectedResource, column: string): Protection | null {
  const name = column.split('.');
  let found: Protection | null = null;
  for (const { name: policy, spec } of policies) {
    if (!selects(spec.resources, resource.name, resource.labels)) continue;
    const rules = matching(spec, name);
    const lifted = rules.some(({ rule, exact }) => rule.action === 'allow' && exact);
    for (const { rule, exact } of rules) {
      if (rule.action === 'allow' || (lifted && !exact)) continue;
      if (found === null || rule.action === 'deny') found = { policy, action: rule.action, as: rule.as };
    }
  }
  return found;
}

function matching(spec: DataPolicySpec, name: readonly string[]) {
  return spec.columns.flatMap(rule => {
    const pattern = parsePattern(rule.match, COLUMN_FORMS);
    return isPattern(pattern) && matchName(pattern, name) !== 'no' ? [{ rule, exact: pattern.exact }] : [];
  });
}

/** Enough of it stays to be recognised by who knows it. */
const partialDetectors: ReadonlySet<string> = new Set(['email', 'payment-card', 'phone', 'iban']);

/**
 * A DataPolicy that masks one column of one resource, as YAML; null for a name whose parts cannot be told apart. A policy of its own:
 * applied beside others it makes nothing weaker, since the strictest rule wins.
 */
export function protectingManifest(resource: string, column: string, detector: string): string | null {
  const parts = column.split('.');
  const [, table, last] = parts;
  if (parts.length !== 3 || table === undefined || last === undefined) return null;
  const match = parts.map(part => (/^[a-z_][a-z0-9_$]*$/.test(part) ? part : `"${part}"`)).join('.');
  if (parts.some(part => part === '' || part.includes('"'))) return null;
  return [
    'apiVersion: sallyport.dev/v1',
    'kind: DataPolicy',
    `metadata: { name: ${labelOf(`protect-${resource}-${table}-${last}`)} }`,
    'spec:',
    `  resources: { names: [${JSON.stringify(resource)}] }`,
    '  columns:',
    `    - { match: ${JSON.stringify(match)}, action: mask, as: ${partialDetectors.has(detector) ? 'partial' : 'redact'} }`,
    '',
  ].join('\n');
}

/** A name that a manifest may have. */
function labelOf(text: string): string {
  const label = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 63);
  return label.replaceAll(/^-+|-+$/g, '');
}
