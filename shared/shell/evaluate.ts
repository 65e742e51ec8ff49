/**
 * Walks a syntax tree the way a shell would run it, along every branch at once, and collects what every simple command does.
 * Nothing is executed: a scope says what variables may hold, loops are walked until they say nothing new.
 *
 * Whatever is not understood is reported as opaque; there is no command that is passed over in silence.
 */
import type {
  ArithmeticExpression,
  Assignment,
  Command,
  CommandNode,
  CompoundCommand,
  CompoundList,
  Redirection,
  Statement,
  TestExpression,
} from 'unbash';
import { arithmetic, isNumeric } from './arithmetic.ts';
import { type BuiltinHost, builtinCalled } from './builtins.ts';
import { applyProgram, applyUnknown, constantOf } from './effects.ts';
import type { NetworkUse, Privilege, ShellCommand } from './facts.ts';
import { printedPaths } from './find.ts';
import { constant, format, type Glob, HOME, intersects, literal, parseGlob, startsWith, UNKNOWN } from './glob.ts';
import { type Context, Effects, type PathUse, shownWords } from './host.ts';
import { knownOutput } from './outputs.ts';
import { isPlainSubscript } from './parameters.ts';
import { isRawDevice, isTemporary, placesOf, resolvePath, withDescendants } from './paths.ts';
import { isPortable } from './portable.ts';
import { onlyTells, programCalled } from './programs.ts';
import type { FunctionBody, Scope, Variable } from './scope.ts';
import { specialCalled } from './special.ts';
import { type ParsedScript, parseShell, type WordPart } from './syntax.ts';
import { crossed, expandParts, expandValue, expandWords, type Field, hereDocumentText, OPEN, type Runner } from './words.ts';
import { environment, isDangerousVariable, wrapperCalled } from './wrappers.ts';

const STEPS_MAX = 20_000;
const COMMANDS_MAX = 2000;
const OPAQUE_MAX = 64;
const SHELLS_MAX = 12; // texts inside texts
const CALLS_MAX = 12;
const LOOP_ROUNDS = 2;

/** Thrown when a text would take too long to judge; caught by whoever began. */
export class TooComplex extends Error {}

const PLAIN: Context = { wrappers: [], privilege: [], input: { kind: 'inherited' } };

export class Machine implements Runner, BuiltinHost {
  scope: Scope;
  readonly interactive: boolean;
  readonly commands = new Map<string, ShellCommand>();
  readonly opaqueParts = new Map<string, { reason: string; text: string }>();
  private context: Context = PLAIN;
  private steps = 0;
  private shells = 0;
  private calls = 0;
  private readonly filesRun: { places: readonly Glob[]; shown: string }[] = [];
  /** From then on a `..` may lead out of where a link of the text's own leads. */
  private linksMade = false;
  private readonly filesObeyed: { place: Glob; shown: string }[] = [];
  private readonly pathsWritten: Glob[] = [];
  private readonly traps: { text: Glob | null; context: Context; functions: Map<string, FunctionBody | null> }[] = [];
  private readonly called = new Set<string>();
  private locals: Map<string, Variable | undefined> | null = null;

  constructor(scope: Scope, interactive: boolean) {
    this.scope = scope;
    this.interactive = interactive;
  }

  /** Runs a whole text, and what it left to be run at its end. */
  run(script: ParsedScript): void {
    this.script(script, PLAIN);
    for (let i = 0; i < this.traps.length && i < SHELLS_MAX; i += 1) {
      const each = this.traps[i];
      if (each === undefined) break;
      const outer = this.scope;
      this.scope = outer.atAnyTime(each.functions);
      this.evalText(each.text, each.context);
      this.scope = outer;
    }
    for (const [name, body] of this.scope.functions)
      if (body !== null && (!this.called.has(name) || name === 'command_not_found_handle')) this.runFunctionBody(name, PLAIN);
    for (const { places, shown } of this.filesRun) {
      if (this.pathsWritten.some(path => placesOf(path).some(written => places.some(place => intersects(written, place)))))
        this.opaque('it runs a file that it writes itself', shown);
    }
    for (const { place, shown } of this.filesObeyed) {
      if (this.pathsWritten.some(path => constant(path) !== null && intersects(path, place)))
        this.opaque('it writes the file that says what it runs', shown);
    }
  }

  opaque(reason: string, text: string): void {
    const short = text.length <= 120 ? text : `${text.slice(0, 120)}…`;
    if (this.opaqueParts.size < OPAQUE_MAX) this.opaqueParts.set(`${reason}\0${short}`, { reason, text: short });
  }

  private step(): void {
    this.steps += 1;
    if (this.steps > STEPS_MAX) throw new TooComplex();
  }

  // --- lists and compounds ---

  private script(script: { readonly commands: readonly Statement[] }, context: Context): void {
    for (const statement of script.commands) this.statement(statement, context);
  }

  private statement(statement: Statement, context: Context): void {
    this.step();
    if (statement.background === true) this.inSubshell(() => this.node(statement.command, context));
    else this.node(statement.command, context);
  }

  private inSubshell(action: () => void): void {
    const outer = this.scope;
    this.scope = outer.clone();
    action();
    this.scope = outer;
  }

  /** One of several ways, of which each may be the one that is taken. */
  private branches(ways: readonly (() => void)[], alsoNone: boolean): void {
    const before = this.scope;
    const ends = ways.map(way => {
      this.scope = before.clone();
      way();
      return this.scope;
    });
    if (alsoNone) ends.unshift(before);
    const [first, ...rest] = ends;
    this.scope = first ?? before;
    for (const each of rest) this.scope.join(each);
  }

  /** A body that runs any number of times. */
  private loop(body: () => void): void {
    for (let round = 0; ; round += 1) {
      const before = this.scope.clone();
      const known = before.fingerprint();
      this.branches([body], true);
      if (this.scope.fingerprint() === known) return;
      if (round >= LOOP_ROUNDS) this.scope.widen(before);
      if (round > 8) {
        this.scope.doubtEverything();
        this.branches([body], true);
        this.scope.doubtEverything();
        return;
      }
    }
  }

  private node(node: Statement['command'], context: Context): void {
    this.step();
    switch (node.type) {
      case 'AndOr':
        node.commands.forEach((each, index) => {
          if (index === 0) this.node(each, context);
          else this.branches([() => this.node(each, context)], true);
        });
        return;
      case 'Pipeline':
        this.pipeline(node.commands, context);
        return;
      default:
        this.commandNode(node, context);
    }
  }

  private pipeline(commands: readonly CommandNode[], context: Context): void {
    const [only] = commands;
    if (commands.length === 1 && only !== undefined) {
      this.commandNode(only, context);
      return;
    }
    let input = context.input;
    for (const each of commands) {
      const from = input;
      let output: readonly Glob[] | null = null;
      let paths: readonly Glob[] | null = null;
      this.inSubshell(() => {
        output = this.outputOf(each, from);
        paths = this.pathsOf(each);
        this.commandNode(each, { ...context, input: from });
      });
      input = output !== null ? { kind: 'known', texts: output } : { kind: 'unknown', ...(paths === null ? {} : { paths }) };
    }
  }

  /** The words of a command whose output goes where it is put, when they can be only these. */
  private plainWords(node: CommandNode): Field[] | null {
    if (node.type !== 'Command' || node.name === undefined) return null;
    if (node.prefix.length > 0 || node.redirects.some(each => each.type === 'Redirect')) return null;
    const quiet = this.quietly(() =>
      expandWords(
        [node.name, ...node.args].flatMap(word => (word?.type === 'Word' ? [word] : [])),
        this,
      ),
    );
    const [words] = quiet;
    if (words === undefined || quiet.length > 1) return null;
    const name = constantOf(words[0]);
    return this.scope.functions.has(name) || this.scope.aliases.has(name) ? null : words;
  }

  /** The paths that a command prints with a NUL behind each. Without it a name with a space in it would be two. */
  private pathsOf(node: CommandNode): readonly Glob[] | null {
    const words = this.plainWords(node);
    return words !== null && constantOf(words[0]) === 'find' ? printedPaths(words) : null;
  }

  /** What a command prints, where its words say it. It is not run by this. */
  private outputOf(node: CommandNode, input: Context['input']): readonly Glob[] | null {
    const words = this.plainWords(node);
    if (words === null || node.type !== 'Command') return null;
    const { redirects } = node;
    const name = constantOf(words[0]);
    const here = redirects.at(-1);
    if (name === 'cat' && words.length === 1)
      return here !== undefined ? this.quietly(() => this.hereText(here)) : input.kind === 'known' ? input.texts : null;
    return redirects.length > 0 ? null : knownOutput(words, this.scope);
  }

  /** Expands without reporting: what is expanded here is expanded again where it is run. */
  private quietly<T>(action: () => T): T {
    const commands = new Map(this.commands);
    const parts = new Map(this.opaqueParts);
    const outer = this.scope;
    this.scope = outer.clone();
    const value = action();
    this.scope = outer;
    for (const key of this.commands.keys()) if (!commands.has(key)) this.commands.delete(key);
    for (const key of this.opaqueParts.keys()) if (!parts.has(key)) this.opaqueParts.delete(key);
    return value;
  }

  private commandNode(node: CommandNode, context: Context): void {
    this.step();
    switch (node.type) {
      case 'Command':
        this.simple(node, context);
        return;
      case 'Redirected': {
        const effects = new Effects();
        const input = this.redirections(node.redirects, effects) ?? context.input;
        if (effects.paths.length + effects.network.length > 0) this.emit([], context, effects);
        this.compound(node.command, { ...context, input });
        return;
      }
      case 'Function': {
        const name = node.name.value;
        this.scope.functions.set(name, node.body);
        if (this.interactive) {
          // A later line may call it, with anything.
          this.inSubshell(() => this.callBody(node.body, null, context));
          this.called.add(name);
          if (
            builtinCalled(name) !== undefined ||
            programCalled(name) !== undefined ||
            specialCalled(name) !== undefined ||
            wrapperCalled(name) !== undefined
          )
            this.opaque('a function takes the name of a program', name);
        }
        return;
      }
      case 'Coproc':
        this.inSubshell(() => {
          const { body } = node;
          if (body.type === 'CompoundList') this.list(body, { ...context, input: { kind: 'unknown' } });
          else this.commandNode(body, { ...context, input: { kind: 'unknown' } });
        });
        return;
      default:
        this.compound(node, context);
    }
  }

  private list(list: CompoundList, context: Context): void {
    this.script(list, context);
  }

  private compound(node: CompoundCommand, context: Context): void {
    switch (node.type) {
      case 'BraceGroup':
        this.list(node.body, context);
        return;
      case 'Subshell':
        this.inSubshell(() => this.list(node.body, context));
        return;
      case 'If': {
        this.list(node.clause, context);
        const rest = (index: number): void => {
          const elif = node.elif[index];
          if (elif === undefined) {
            if (node.else !== undefined) this.list(node.else, context);
            return;
          }
          this.list(elif.clause, context);
          this.branches([() => this.list(elif.then, context), () => rest(index + 1)], false);
        };
        this.branches([() => this.list(node.then, context), () => rest(0)], false);
        return;
      }
      case 'While':
        this.loop(() => {
          this.list(node.clause, context);
          this.branches([() => this.list(node.body, context)], true);
        });
        return;
      case 'For':
      case 'Select': {
        const name = node.name.value;
        const lists: Field[][] =
          node.wordlist === undefined
            ? [this.scope.positionals === null ? [OPEN] : [...this.scope.positionals]]
            : expandWords(node.wordlist, this);
        const values = lists.flat();
        const known = values.flatMap(each => (each === OPEN ? [] : [each]));
        const value: Variable = values.includes(OPEN) || node.type === 'Select' ? null : { kind: 'text', values: known };
        if (isDangerousVariable(name)) this.opaque(`${name} decides what programs run`, 'for');
        this.setInteger(name, value?.kind === 'text' ? value.values : null);
        this.loop(() => {
          this.scope.set(name, value);
          this.list(node.body, context);
        });
        return;
      }
      case 'ArithmeticFor':
        this.expression(node.initialize);
        this.loop(() => {
          this.expression(node.test);
          this.list(node.body, context);
          this.expression(node.update);
        });
        return;
      case 'Case': {
        expandValue(node.word, this);
        for (const item of node.items) for (const pattern of item.pattern) expandValue(pattern, this);
        // `;&` goes on into the next: walking them one behind the other covers it as well as each alone.
        const items = node.items.map(item => () => this.list(item.body, context));
        this.branches(items, true);
        if (node.items.some(item => item.terminator === ';&' || item.terminator === ';;&'))
          for (const item of items) this.branches([item], true);
        return;
      }
      case 'TestCommand':
        this.test(node.expression);
        return;
      case 'ArithmeticCommand':
        this.expression(node.expression);
        return;
      default:
        node satisfies never;
    }
  }

  private expression(expression: ArithmeticExpression | undefined): void {
    if (expression !== undefined) arithmetic(expression, this);
  }

  private test(expression: TestExpression): void {
    switch (expression.type) {
      case 'TestUnary': {
        const values = expandValue(expression.operand, this);
        if (expression.operator === '-v' || expression.operator === '-R') {
          const names = values?.map(constant) ?? [null];
          if (names.some(name => name === null || !/^[A-Za-z_]\w*(?:\[\d+\])?$/.test(name)))
            this.opaque('[[ evaluates a name', expression.operand.text);
        }
        return;
      }
      case 'TestBinary': {
        const sides = [expandValue(expression.left, this), expandValue(expression.right, this)];
        if (/^-(?:eq|ne|lt|le|gt|ge)$/.test(expression.operator) && !sides.every(side => side?.every(isNumeric) === true)) {
          this.opaque('[[ evaluates what is not known to be a number', expression.left.text);
        }
        return;
      }
      case 'TestLogical':
        for (const each of expression.operands) this.test(each);
        return;
      case 'TestNot':
        this.test(expression.operand);
        return;
      case 'TestGroup':
        this.test(expression.expression);
        return;
      default:
        expression satisfies never;
    }
  }

  // --- simple commands ---

  private simple(node: Command, context: Context): void {
    const outer = this.context;
    this.context = context;
    try {
      this.simpleIn(node, context);
    } finally {
      this.context = outer;
    }
  }

  private simpleIn(node: Command, context: Context): void {
    const effects = new Effects();
    const assignments = node.prefix.flatMap(each => (each.type === 'Assignment' ? [each] : []));
    const name = node.name;
    // Declaring builtins take assignments as arguments; elsewhere such a word is a word like any other.
    const fields = name === undefined ? [] : this.argumentFields(node);
    const input = this.redirections(node.redirects, effects) ?? context.input;
    const inner: Context = { ...context, input };
    if (fields.some(words => words.length === 1 && isExec(words[0])) && node.redirects.some(replacesInput))
      this.opaque('the shell itself reads from elsewhere from now on', 'exec');
    if (name === undefined) {
      for (const each of assignments) this.assign(each, context, true);
      if (effects.paths.length + effects.network.length > 0 || node.redirects.length > 0) this.emit([], context, effects);
      return;
    }
    const before = assignments.length === 0 ? null : new Map(assignments.map(each => [each.name, this.scope.variables.get(each.name)]));
    const privilege: Privilege[] = [];
    for (const each of assignments) {
      this.assign(each, context, false);
      if (isDangerousVariable(each.name)) privilege.push('environment');
    }
    const used: Context = privilege.length === 0 ? inner : { ...inner, privilege: [...new Set([...inner.privilege, ...privilege])] };
    if (effects.paths.length + effects.network.length > 0) this.withRedirections(effects, () => this.alternatives(fields, used));
    else this.alternatives(fields, used);
    for (const [variable, value] of before ?? []) {
      // With special builtins in other shells than bash it stays; both are possible.
      if (value === undefined) this.scope.variables.delete(variable);
      else this.scope.variables.set(variable, value);
    }
  }

  private argumentFields(node: Command): Field[][] {
    const words = [node.name, ...node.args].flatMap(each => (each === undefined ? [] : [each]));
    let alternatives: Field[][] = [[]];
    for (const word of words) {
      // `{name[…]}>file` sets a variable to a descriptor's number, and evaluates the subscript.
      if (word.type === 'Word' && /^\{[A-Za-z_]\w*\[.*\]\}$/s.test(word.text))
        this.opaque('a subscript is evaluated that is not constant', word.text);
      const own = word.type === 'Word' ? expandWords([word], this) : this.assignmentFields(word);
      if (alternatives.length * own.length > 32) alternatives = alternatives.map(each => [...each, OPEN]);
      else alternatives = crossed(alternatives, own);
    }
    return alternatives;
  }

  private assignmentFields(assignment: Assignment): Field[][] {
    this.subscript(assignment);
    const head = [
      ...literal(assignment.name),
      ...(assignment.index === undefined ? [] : ['[', ...literal(assignment.index.text), ']']),
      ...(assignment.append === true ? ['+'] : []),
      '=',
    ];
    if (assignment.value.type === 'ArrayValue') {
      expandWords(assignment.value.elements, this);
      this.scope.set(assignment.name, null);
      return [[head, OPEN]];
    }
    const values = expandValue(assignment.value, this);
    return (values ?? [UNKNOWN]).map(value => [[...head, ...value]]);
  }

  private subscript({ index, text }: Assignment): void {
    if (index === undefined) return;
    const values = expandValue(index, this)?.map(constant) ?? [null];
    if (values.some(value => value === null || !isPlainSubscript(value)))
      this.opaque('a subscript is evaluated that is not constant', text);
  }

  /** @param lasting it stands alone, so that it is the shell's and not one command's. */
  private assign(assignment: Assignment, context: Context, lasting: boolean): void {
    this.step();
    this.subscript(assignment);
    const { name, value, append, index } = assignment;
    if (value.type === 'ArrayValue') {
      const lists = expandWords(value.elements, this);
      const [only] = lists;
      for (const each of lists.flat()) this.setInteger(name, each === OPEN ? null : [each]);
      // `[3]=x` in a list evaluates its subscript.
      for (const element of value.elements)
        if (/^\[.*[^\d\]].*\]=/.test(element.text) && !this.scope.strange.has(name))
          this.opaque('a subscript is evaluated that is not constant', element.text);
      const plain =
        lists.length === 1 &&
        only !== undefined &&
        append !== true &&
        !only.includes(OPEN) &&
        !value.elements.some(element => element.text.startsWith('['));
      this.scope.set(name, plain ? { kind: 'list', elements: only as Glob[] } : null);
      return;
    }
    const values = expandValue(value, this);
    this.setInteger(name, values);
    if (isDangerousVariable(name)) {
      for (const each of values ?? [UNKNOWN]) environment(this, [...literal(`${name}=`), ...each], context);
      if (lasting) {
        const effects = new Effects();
        effects.privilege.push('environment');
        this.emit([literal(`${name}=`)], context, effects);
      }
    }
    if (index !== undefined) this.scope.set(name, null);
    else if (append === true) {
      const variable = this.scope.get(name);
      const both =
        variable?.kind === 'text' && values !== null && variable.values.length * values.length <= 16
          ? variable.values.flatMap(first => values.map(rest => [...first, ...rest]))
          : null;
      this.scope.setText(name, both);
    } else this.scope.setText(name, values);
    if (this.scope.fixed.has(name)) this.scope.set(name, null);
  }

  /** What is given to a variable that was declared an integer is evaluated, with the commands in its subscripts. */
  private setInteger(name: string, values: readonly Glob[] | null): void {
    if (this.scope.integers.has(name) && values?.every(isNumeric) !== true)
      this.opaque('a value is given to an integer, which evaluates it', name);
  }

  private alternatives(fields: readonly Field[][], context: Context): void {
    const [only] = fields;
    if (fields.length === 1 && only !== undefined) this.dispatch(only, context);
    else
      this.branches(
        fields.map(words => () => this.dispatch(words, context)),
        false,
      );
  }

  /** Paths that redirections of the command add to all that it is reported as. */
  private redirected: PathUse[] = [];
  private redirectedNetwork: NetworkUse[] = [];

  private withRedirections(effects: Effects, action: () => void): void {
    const before = this.commands.size;
    const [paths, network] = [this.redirected, this.redirectedNetwork];
    this.redirected = [...paths, ...effects.paths];
    this.redirectedNetwork = [...network, ...effects.network];
    action();
    this.redirected = paths;
    this.redirectedNetwork = network;
    if (this.commands.size === before) this.emit([], this.context, effects);
  }

  // --- redirections ---

  /** @returns what the input is then, when they say it. */
  private redirections(redirects: readonly Redirection[], effects: Effects): Context['input'] | null {
    let input: Context['input'] | null = null;
    for (const each of redirects) {
      const descriptor = each.descriptor?.type === 'FileDescriptor' ? each.descriptor.value : null;
      if (each.type !== 'Redirect') {
        const texts = this.hereText(each);
        if (each.descriptor === undefined || descriptor === 0) input = texts === null ? { kind: 'unknown' } : { kind: 'known', texts };
        continue;
      }
      if (each.descriptor?.type === 'FileDescriptorVariable') this.scope.set(each.descriptor.name, null);
      if (each.target === undefined) continue;
      const targets = expandWords([each.target], this).flat();
      for (const target of targets) this.redirect(each.operator, target === OPEN ? UNKNOWN : target, effects);
      if (
        (each.operator === '<' || each.operator === '<>' || each.operator === '<&') &&
        (each.descriptor === undefined || descriptor === 0)
      ) {
        const nothing = targets.length === 1 && targets[0] !== OPEN && constant(targets[0] ?? UNKNOWN) === '/dev/null';
        input = nothing ? { kind: 'known', texts: [[]] } : { kind: 'unknown' };
      }
    }
    return input;
  }

  private redirect(operator: string, target: Glob, effects: Effects): void {
    const text = constant(target);
    if ((operator === '<&' || operator === '>&') && text !== null && /^(?:\d+-?|-)$/.test(text)) return;
    if ((operator === '<&' || operator === '>&') && target.every(token => typeof token === 'object' && token.kind === 'number')) return;
    if (startsWith(target, '/dev/tcp/') || startsWith(target, '/dev/udp/') || (typeof target[0] === 'object' && operator !== '>>')) {
      const [, , , host, port] = (text ?? '').split('/');
      effects.network.push({ kind: 'connect', address: `${host ?? '**'}:${port ?? '**'}` });
    }
    if (operator === '<' || operator === '<&') effects.read(target);
    else if (operator === '<>') effects.both(target);
    else effects.write(target);
  }

  private hereText(redirect: Redirection): readonly Glob[] | null {
    if (redirect.type === 'HereString') {
      const values = redirect.target === undefined ? [[]] : expandValue(redirect.target, this);
      return values?.map(value => [...value, '\n']) ?? null;
    }
    if (redirect.type !== 'HereDoc') return null;
    const { body, delimiter } = redirect;
    if (delimiter?.quoted === true) return [literal(body.text)];
    if (body.parts === undefined) return [hereDocumentText(body.text)];
    if (body.parts.map(part => part.text).join('') !== body.text) {
      this.opaque('a here-document is not wholly understood', body.text);
      return null;
    }
    return expandParts(body.parts, this);
  }

  // --- words (Runner) ---

  substitute(script: ParsedScript | undefined): readonly Glob[] | null {
    if (script === undefined) {
      this.opaque('a substitution is not understood', '');
      return null;
    }
    const [statement] = script.commands;
    const command = script.commands.length === 1 && statement?.background !== true ? statement?.command : undefined;
    const output = command?.type === 'Command' ? this.outputOf(command, this.context.input) : null;
    this.inSubshell(() => this.script(script, { ...this.context }));
    return output?.map(value => trimLineBreaks(value)) ?? null;
  }

  processSubstitution(script: ParsedScript | undefined): void {
    if (script === undefined) this.opaque('a substitution is not understood', '');
    // One that is written to runs with what it is given as its input.
    else this.inSubshell(() => this.script(script, { ...this.context, input: { kind: 'unknown' } }));
  }

  partValue(part: WordPart): readonly Glob[] | null {
    return expandParts([part], this);
  }

  // --- programs (Host) ---

  dispatch(words: readonly Field[], context: Context): void {
    this.step();
    const [first] = words;
    if (first === undefined) return;
    if (first === OPEN) {
      this.opaque('the program is not known', shownWords(words, format));
      this.emit(words, context, everything());
      return;
    }
    const path = constant(first);
    if (path === null) {
      this.opaque('the program is not known', shownWords(words, format));
      applyUnknown(this, words, context);
      return;
    }
    const last = path.slice(path.lastIndexOf('/') + 1);
    const plain = !path.includes('/');
    if (path === '' || last === '') {
      this.emit(words, context, new Effects());
      return;
    }
    const written = path.startsWith(HOME) ? path.slice(HOME.length) : path;
    if (!/^[\x21-\x7e]+$/.test(written)) this.opaque('the name of a program has characters that look like others', path);
    const shellOnly = context.wrappers.length === 0 || isShellWrapper(context.wrappers.at(-1));
    if (plain) {
      if (this.scope.aliases.has(path)) this.opaque('the program is an alias', path);
      if (this.scope.functions.has(path) && context.wrappers.at(-1) !== 'command' && context.wrappers.at(-1) !== 'builtin' && shellOnly) {
        this.called.add(path);
        const body = this.scope.functions.get(path);
        if (body !== undefined && body !== null) {
          this.callBody(body, words.slice(1), context);
          return;
        }
        this.opaque('a function that is not known', path);
      }
      const builtin = shellOnly ? builtinCalled(path) : undefined;
      if (builtin !== undefined) {
        builtin(this, words, context);
        return;
      }
    } else this.runsFile(first, words);
    if (onlyTells(last, words)) {
      this.emit(words, context, new Effects());
      return;
    }
    const reader = wrapperCalled(last) ?? specialCalled(last);
    if (reader !== undefined) {
      reader(this, words, context);
      return;
    }
    const program = programCalled(last);
    if (program === undefined) applyUnknown(this, words, context);
    else applyProgram(this, program, words, context);
    if ((last === 'chmod' || last === 'install') && words.slice(1).some(word => word === OPEN || setsUserId(constant(word))))
      this.addPrivilege(words, context, 'setuid');
  }

  private addPrivilege(words: readonly Field[], context: Context, privilege: Privilege): void {
    const effects = new Effects();
    effects.privilege.push(privilege);
    this.emit(words, context, effects);
  }

  private callBody(body: FunctionBody, args: readonly Field[] | null, context: Context): void {
    if (this.calls >= CALLS_MAX) {
      this.opaque('functions call one another too deep', '');
      return;
    }
    this.calls += 1;
    const positionals = this.scope.positionals;
    const locals = this.locals;
    this.locals = new Map();
    this.scope.positionals = args === null || args.includes(OPEN) ? null : (args as Glob[]);
    if (body.type === 'CompoundList') this.list(body, context);
    else if (body.type === 'Redirected') this.commandNode(body, context);
    else this.compound(body, context);
    for (const [name, value] of this.locals) this.scope.restore(name, value);
    this.locals = locals;
    this.scope.positionals = positionals;
    this.calls -= 1;
  }

  runFunctionBody(name: string, context: Context): void {
    const body = this.scope.functions.get(name);
    this.called.add(name);
    if (body === undefined || body === null) this.opaque('a function that is not known', name);
    else this.inSubshell(() => this.callBody(body, null, context));
  }

  declareLocal(name: string): void {
    if (this.locals !== null && !this.locals.has(name)) this.locals.set(name, this.scope.variables.get(name));
  }

  evalText(text: Glob | null, context: Context): void {
    const script = this.parse(text, context, false);
    if (script === null) this.scope.doubtEverything();
    else {
      this.shells += 1;
      this.script(script, context);
      this.shells -= 1;
    }
  }

  trapText(text: Glob | null, context: Context): void {
    this.traps.push({ text, context, functions: new Map(this.scope.functions) });
    // A line that is judged later may be what it fires in.
    if (this.interactive) this.inSubshell(() => this.evalText(text, context));
  }

  aliasText(name: string, text: Glob | null, context: Context): void {
    this.scope.aliases.add(name);
    const before = new Set(this.commands.keys());
    this.inSubshell(() => this.evalText(text, context));
    for (const [key, command] of this.commands) {
      if (before.has(key)) continue;
      const program = programCalled(command.program);
      if (command.writes.length > 0 || program === undefined || !['none', 'list', 'read'].includes(program.operands))
        this.opaque('an alias stands for a program that does more than read', name);
    }
    if (programCalled(name) === undefined && specialCalled(name) === undefined && wrapperCalled(name) === undefined) return;
    const known = [...this.commands.values()].at(-1)?.program;
    if (known !== name) this.opaque('an alias takes the name of a program', name);
  }

  shellText(text: Glob | null, context: Context, shell: { posix: boolean; positionals: readonly Glob[] | null; remote?: boolean }): void {
    const script = this.parse(text, context, shell.posix);
    if (script === null) return;
    const outer = this.scope;
    this.scope = outer.clone();
    // Another shell has the exported variables only; which they are is not followed, so what is known stays possible.
    for (const name of this.scope.variables.keys()) if (name !== 'IFS') this.scope.variables.set(name, null);
    this.scope.variables.delete('IFS');
    if (shell.remote === true) {
      this.scope.variables.clear();
      this.scope.directories = [[...HOME_FOLDER]];
    }
    this.scope.positionals = shell.positionals;
    this.shells += 1;
    this.script(script, context);
    this.shells -= 1;
    this.scope = outer;
  }

  private parse(text: Glob | null, context: Context, posix: boolean): ParsedScript | null {
    const code = text === null ? null : constant(text);
    const by = context.wrappers.at(-1) ?? 'eval';
    if (code === null) {
      this.opaque('a text is run that is not known', `${by} ${text === null ? '' : format(text)}`);
      return null;
    }
    if (this.shells >= SHELLS_MAX) {
      this.opaque('texts are run in texts too deep', by);
      return null;
    }
    const parsed = parseShell(code);
    if (parsed.error !== null) {
      this.opaque(`a text is run of which ${parsed.error}`, `${by} ${code}`);
      return null;
    }
    if (posix && !isPortable(parsed.script)) this.opaque('a text is run that other shells than bash read otherwise', `${by} ${code}`);
    return parsed.script;
  }

  emit(words: readonly Field[], context: Context, effects: Effects): void {
    const [first] = words;
    const path = first === undefined ? '' : first === OPEN ? '**' : format(first);
    const reads = new Set<string>();
    const writes = new Set<string>();
    const links = this.linksMade;
    if (first !== undefined && first !== OPEN && LINKING.has(programOf(first))) this.linksMade = true;
    for (const { path: word, use, tree } of [...effects.paths, ...this.redirected]) {
      const behind = links ? behindParent(word) : null;
      for (const place of [...resolvePath(word, this.scope.directories), ...(behind === null ? [] : [behind])]) {
        if (isRawDevice(place)) (use === 'read' ? reads : writes).add(format(UNKNOWN));
        for (const each of tree ? withDescendants(place) : [place]) {
          (use === 'read' ? reads : writes).add(format(each));
          if (use === 'write') this.pathsWritten.push(each);
        }
      }
    }
    const command: ShellCommand = {
      program: first === undefined ? '' : first === OPEN ? '**' : programOf(first),
      path,
      argv: words.map(word => (word === OPEN ? '**' : format(word))),
      open: words.includes(OPEN),
      wrappers: context.wrappers,
      privilege: [...new Set([...context.privilege.filter(each => each !== 'root-shell'), ...effects.privilege])],
      reads: [...reads],
      writes: [...writes],
      network: [...effects.network, ...this.redirectedNetwork],
    };
    this.commands.set(JSON.stringify(command), command);
    if (this.commands.size > COMMANDS_MAX || this.pathsWritten.length > COMMANDS_MAX) throw new TooComplex();
  }

  runsFile(path: Glob, words: readonly Field[]): void {
    const places = resolvePath(path, this.scope.directories).flatMap(placesOf);
    const shown = shownWords(words, format);
    if (constant(path) === null) this.opaque('a file is run that is not known', shown);
    else if (places.some(isTemporary) || places.length === 0) this.opaque('a file is run that anybody may have written', shown);
    this.filesRun.push({ places, shown });
  }

  obeysFiles(patterns: readonly string[], words: readonly Field[]): void {
    const shown = shownWords(words, format);
    for (const pattern of patterns) for (const place of placesOf(parseGlob(pattern))) this.filesObeyed.push({ place, shown });
  }
}

/** Programs that make a folder be another one, too. */
const LINKING: ReadonlySet<string> = new Set(['ln', 'link', 'cp', 'mount', 'bindfs', 'rsync', 'tar', 'unzip', 'cpio', 'git']);

/** What stands behind the last `..` of a path, below a folder that is not known; null: there is none. */
function behindParent(word: Glob): Glob | null {
  for (let i = word.length - 2; i >= 0; i--) {
    const isSegment = (i === 0 || word[i - 1] === '/') && (i + 2 === word.length || word[i + 2] === '/');
    if (word[i] === '.' && word[i + 1] === '.' && isSegment) return [...UNKNOWN, ...word.slice(i + 2)];
  }
  return null;
}

function isExec(word: Field | undefined): boolean {
  return word !== undefined && word !== OPEN && constant(word) === 'exec';
}

/** Does it give the shell another standard input? */
function replacesInput({ operator, descriptor, type }: Redirection): boolean {
  const reads = type !== 'Redirect' || operator === '<' || operator === '<>' || operator === '<&';
  return reads && (descriptor === undefined || (descriptor.type === 'FileDescriptor' && descriptor.value === 0));
}

const HOME_FOLDER = ['\uf07e'] as const;

function programOf(word: Glob): string {
  const slash = word.lastIndexOf('/');
  return format(word.slice(slash + 1));
}

/** All that a command which is not known at all may do. */
function everything(): Effects {
  const effects = new Effects();
  effects.both(UNKNOWN, true);
  effects.network.push({ kind: 'listen', address: '**' }, { kind: 'connect', address: '**' }, { kind: 'tunnel', address: '**' });
  return effects;
}

function setsUserId(text: string | null): boolean {
  if (text === null) return false;
  return (
    /^[ugoa]*[+=][rwxXt]*s/.test(text) ||
    text.split(',').some(each => /^[ugoa]*[+=]\w*s/.test(each)) ||
    /^(?:-m|--mode=)?0*[2467]\d{3}$/.test(text)
  );
}

/** Do the words behind this wrapper still name what the shell itself knows? */
function isShellWrapper(name: string | undefined): boolean {
  return (
    name === undefined ||
    name === 'command' ||
    name === 'builtin' ||
    /^(?:ba|da|a|rba)?sh(?:-static)?$/.test(name) ||
    [
      'su',
      'runuser',
      'sg',
      'ssh',
      'watch',
      'script',
      'flock',
      'tar',
      'find-shell',
      'eval',
      'git',
      'man',
      'rsync',
      'split',
      'sort',
      'zip',
    ].includes(name)
  );
}

function trimLineBreaks(value: Glob): Glob {
  let end = value.length;
  while (end > 0 && value[end - 1] === '\n') end -= 1;
  return value.slice(0, end);
}
