/**
 * The generated parts of the reference pages, made from the schema and the vocabulary themselves, so that pages cannot say
 * something else than the code does. What people wrote on the pages stands outside the marks and is kept.
 */
import { TEST_FIELDS } from '../rehearsal/test-file.ts';
import { EXPRESSION_VARIABLES } from './cel.ts';
import { KINDS } from './kinds.ts';
import { type FieldDescription, manifestFields, type ValueDescription } from './manifests.ts';
import { STATEMENT_GROUPS, STATEMENT_KINDS } from './statement-kinds.ts';

/** Replaces what stands between `<!-- generated: NAME -->` and `<!-- end -->`. */
export function fillPage(page: string): string {
  return page.replaceAll(/(<!-- generated: ([\w-]+) -->\n)[\s\S]*?(<!-- end -->)/g, (whole, start: string, name: string, end: string) => {
    const part = partOf(name);
    return part === undefined ? whole : `${start}\n${part}\n${end}`;
  });
}

function partOf(name: string): string | undefined {
  const kind = KINDS.find(each => each === name);
  if (kind !== undefined) return fieldTable(manifestFields(kind).find(field => field.name === 'spec')?.value.fields ?? []);
  switch (name) {
    case 'PolicyTest':
      return fieldTable(TEST_FIELDS);
    case 'variables':
      return variableTable();
    case 'statement-kinds':
      return `${STATEMENT_KINDS.map(code).join(', ')}.\n`;
    case 'statement-groups':
      return Object.entries(STATEMENT_GROUPS)
        .map(([group, kinds]) => `- ${code(group)}: ${familiesOf(kinds).map(code).join(', ')}`)
        .join('\n')
        .concat('\n');
    default:
      return undefined;
  }
}

function fieldTable(fields: readonly FieldDescription[]): string {
  const rows = fields.flatMap(field => rowsOf(field, '', false));
  return ['| field | value | default | meaning |', '|---|---|---|---|', ...rows, ''].join('\n');
}

function rowsOf({ name, required, description, value, ...rest }: FieldDescription, prefix: string, inList: boolean): string[] {
  const path = `${prefix}${name}`;
  const fallback = required ? '**required**' : rest.default === undefined ? '' : code(rest.default);
  const row = `| ${code(path)} | ${typeText(value)} | ${fallback} | ${description} |`;
  // The same approval stands in several places; it is described once on the page.
  if (name === 'approval' && !inList) return [row.replace(description, `${description} See [approval](#approval).`)];
  const inner = value.type === 'list' ? { value: value.items, prefix: `${path}[].` } : { value, prefix: `${path}.` };
  return [row, ...(inner.value?.fields ?? []).flatMap(field => rowsOf(field, inner.prefix, false))];
}

const VALUES_SHOWN = 10;

function typeText({ type, values, items }: ValueDescription): string {
  const words = values ?? (type === 'list' ? items?.values : undefined);
  const known = words === undefined || words.length > VALUES_SHOWN ? '' : `: ${words.map(code).join(', ')}`;
  if (type === 'list' && items !== undefined && items.type !== 'object') return `list of ${items.type}${known}`;
  if (type === 'map') return 'map of text';
  return `${type === 'condition' ? 'condition (CEL)' : type}${known}`;
}

function variableTable(): string {
  const rows = Object.entries(EXPRESSION_VARIABLES).flatMap(([variable, type]) =>
    typeof type === 'string'
      ? [`| ${code(variable)} | ${type} |`]
      : Object.entries(type).map(([field, each]) => `| ${code(`${variable}.${field}`)} | ${code(each)} |`),
  );
  return ['| variable | type |', '|---|---|', ...rows, ''].join('\n');
}

/** Writes `create-*` for all that begin so, when all of them are meant. */
function familiesOf(kinds: readonly string[]): string[] {
  const whole = ['create', 'alter', 'drop'].filter(verb =>
    STATEMENT_KINDS.every(kind => !kind.startsWith(`${verb}-`) || kinds.includes(kind)),
  );
  return [...whole.map(verb => `${verb}-*`), ...kinds.filter(kind => !whole.some(verb => kind.startsWith(`${verb}-`)))];
}

function code(text: string): string {
  return `\`${text}\``;
}
