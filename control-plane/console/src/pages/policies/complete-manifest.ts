/** Completion of manifests by the schema that validates them: names of fields, the words that a value may be, names of other manifests. */
import type { Completion, CompletionContext, CompletionResult } from '@codemirror/autocomplete';
import { type FieldDescription, manifestFields, type ValueDescription } from '@sallyport/shared/policy/manifests.ts';
import type { Kind } from '@sallyport/shared/policy/model.ts';

interface Place {
  /** Keys from the top to the line's own level. */
  path: string[];
  /** After `key:` on the line, if there is one. */
  key: string | null;
}

/** By indentation: what flow style (`{ a: 1 }`) holds is not looked into. */
export function placeAt(lines: readonly string[], line: number, column: number): Place {
  const text = (lines[line] ?? '').slice(0, column);
  const own = /^(\s*(?:- +)*)(?:([\w-]+):\s)?/.exec(text);
  let indent = own?.[1]?.length ?? 0;
  const path: string[] = [];
  for (let at = line - 1; at >= 0 && indent > 0; at--) {
    const match = /^(\s*(?:- +)*)([\w-]+):/.exec(lines[at] ?? '');
    const depth = match?.[1]?.length ?? Number.POSITIVE_INFINITY;
    if (match?.[2] === undefined || depth >= indent) continue;
    path.unshift(match[2]);
    // An entry of a list stands as deep as its dash.
    indent = match[1]?.includes('-') ? (match[1].indexOf('-') ?? 0) : depth;
    if (indent === 0 && depth > 0) indent = 1;
  }
  return { path, key: own?.[2] ?? null };
}

export function fieldsAt(kind: Kind, path: readonly string[]): readonly FieldDescription[] {
  let fields: readonly FieldDescription[] = manifestFields(kind);
  for (const name of path) {
    const value = fields.find(field => field.name === name)?.value;
    fields = (value?.fields ?? value?.items?.fields ?? []) as readonly FieldDescription[];
  }
  return fields;
}

function wordsOf(value: ValueDescription | undefined): readonly string[] {
  if (value === undefined) return [];
  if (value.type === 'boolean') return ['true', 'false'];
  return value.values ?? wordsOf(value.items);
}

export function completeManifest(kind: Kind) {
  return (context: CompletionContext): CompletionResult | null => {
    const { doc } = context.state;
    const line = doc.lineAt(context.pos);
    const lines = doc.toString().split('\n');
    const { path, key } = placeAt(lines, line.number - 1, context.pos - line.from);
    const typed = context.matchBefore(/[\w.-]*/);
    if (typed === null || (typed.from === typed.to && !context.explicit)) return null;
    const fields = fieldsAt(kind, path);
    const owner = path.at(-1);
    const isEntry = /^\s*- +[\w.-]*$/.test(line.text.slice(0, context.pos - line.from));
    const inList =
      isEntry && owner !== undefined ? fieldsAt(kind, path.slice(0, -1)).find(({ name }) => name === owner)?.value.items : undefined;
    const options: Completion[] =
      key !== null
        ? wordsOf(fields.find(({ name }) => name === key)?.value).map(label => ({ label, type: 'constant' }))
        : inList !== undefined && inList.fields === undefined
          ? wordsOf(inList).map(label => ({ label, type: 'constant' }))
          : fields.map(({ name, description, required, value }) => ({
              label: name,
              apply: value.type === 'object' || value.type === 'list' || value.type === 'map' ? `${name}:` : `${name}: `,
              detail: required ? 'required' : value.type,
              info: description,
              type: 'property',
            }));
    return options.length === 0 ? null : { from: typed.from, options, validFor: /^[\w.-]*$/ };
  };
}
