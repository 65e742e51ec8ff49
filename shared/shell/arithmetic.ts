/**
 * Arithmetic in shell text. Its values do not matter here; what matters is what it runs and sets: commands in it, assignments,
 * and the contents of variables, which bash evaluates as expressions in turn, subscripts and the commands in them included
 * (`x='a[$(id)]'; echo $((x))` runs `id`).
 */
import type { ArithmeticExpression } from 'unbash';
import { constant, type Glob, NUMBER } from './glob.ts';
import type { Scope } from './scope.ts';
import type { ParsedScript, WordPart } from './syntax.ts';

export interface ArithmeticHost {
  readonly scope: Scope;
  /** In a terminal, earlier lines may have set any variable. */
  readonly interactive: boolean;
  substitute(script: ParsedScript | undefined): readonly Glob[] | null;
  /** What a part of a word may be, as in double quotes. */
  partValue(part: WordPart): readonly Glob[] | null;
  opaque(reason: string, text: string): void;
}

export function arithmetic(expression: ArithmeticExpression, host: ArithmeticHost): void {
  switch (expression.type) {
    case 'ArithmeticBinary':
      arithmetic(expression.right, host);
      if (/^(?:[-+*/%&|^]|<<|>>)?=$/.test(expression.operator)) assign(expression.left, host);
      else arithmetic(expression.left, host);
      return;
    case 'ArithmeticUnary':
      if (expression.operator === '++' || expression.operator === '--') assign(expression.operand, host);
      else arithmetic(expression.operand, host);
      return;
    case 'ArithmeticTernary':
      arithmetic(expression.test, host);
      arithmetic(expression.consequent, host);
      arithmetic(expression.alternate, host);
      return;
    case 'ArithmeticGroup':
      arithmetic(expression.expression, host);
      return;
    case 'ArithmeticCommandExpansion':
      if (!(host.substitute(expression.script) ?? [null]).every(isNumeric))
        host.opaque('arithmetic evaluates the output of a command', expression.text);
      return;
    case 'ArithmeticWord':
      operand(expression.value, expression.parts, host);
      return;
    default:
      expression satisfies never;
  }
}

function operand(value: string, parts: readonly WordPart[] | undefined, host: ArithmeticHost): void {
  for (const part of parts ?? []) {
    if (part.type === 'Literal') names(part.value, host);
    else {
      const values = host.partValue(part);
      if (values === null || !values.every(isNumeric)) host.opaque('arithmetic evaluates what is not known to be a number', part.text);
    }
  }
  if (parts === undefined) names(value, host);
}

function names(text: string, host: ArithmeticHost): void {
  if (/['"`$\\]/.test(text)) host.opaque('arithmetic evaluates a text', text);
  for (const [name] of text.matchAll(/(?<![\w#])[A-Za-z_]\w*/g)) {
    const known = host.scope.variables.has(name) || host.scope.doubtful || host.interactive;
    if (!known) continue; // the host's own environment
    const variable = host.scope.get(name);
    const elements = variable === null ? [null] : variable.kind === 'text' ? variable.values : variable.elements;
    if (!elements.every(isNumeric)) host.opaque('arithmetic evaluates what a variable holds', name);
  }
}

function assign(target: ArithmeticExpression, host: ArithmeticHost): void {
  if (target.type !== 'ArithmeticWord') {
    arithmetic(target, host);
    return;
  }
  const [name] = /^[A-Za-z_]\w*/.exec(target.value) ?? [];
  const rest = name === undefined ? target.value : target.value.slice(name.length);
  if (target.parts !== undefined || rest !== '') operand(target.value, target.parts, host);
  if (name === undefined) host.opaque('arithmetic sets what is not known', target.value);
  else host.scope.setText(name, rest === '' ? [[NUMBER]] : null);
}

/** A number or nothing: what arithmetic can evaluate without harm. */
export function isNumeric(glob: Glob | null): boolean {
  if (glob === null) return false;
  if (glob.length === 1 && typeof glob[0] === 'object') return glob[0].kind === 'number';
  const text = constant(glob);
  return text !== null && /^\s*[-+]?\d*\s*$/.test(text);
}
