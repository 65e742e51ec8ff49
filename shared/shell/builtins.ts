/**
 * The shell's own commands that change what later words mean, or run text: assignments in many forms, `cd`, `eval`, `set`,
 * `trap`. Those that do nothing of it are in the table of programs.
 *
 * @see https://www.gnu.org/software/bash/manual/html_node/Shell-Builtin-Commands.html
 */
import { isNumeric } from './arithmetic.ts';
import { constantOf } from './effects.ts';
import { constant, type Glob, literal, UNKNOWN } from './glob.ts';
import { type Context, Effects, type Host } from './host.ts';
import { isPlainSubscript } from './parameters.ts';
import { resolvePath } from './paths.ts';
import { type Field, OPEN } from './words.ts';
import { environment, isDangerousVariable } from './wrappers.ts';

export interface BuiltinHost extends Host {
  /** Runs text in this very shell. */
  evalText(text: Glob | null, context: Context): void;
  /** Runs text at some time later, with what variables may hold by then. */
  trapText(text: Glob | null, context: Context): void;
  /** Shell text that an alias stands for. */
  aliasText(name: string, text: Glob | null, context: Context): void;
  runFunctionBody(name: string, context: Context): void;
  /** Notes that a variable is the function's own. */
  declareLocal(name: string): void;
}

type Builtin = (host: BuiltinHost, words: readonly Field[], context: Context) => void;

const NAME = /^[A-Za-z_]\w*$/;

function texts(words: readonly Field[]): (string | null)[] {
  return words.map(word => (word === OPEN ? null : constant(word)));
}

function emit(host: Host, words: readonly Field[], context: Context, fill?: (effects: Effects) => void): void {
  const effects = new Effects();
  fill?.(effects);
  host.emit(words, context, effects);
}

/** Names that a builtin sets to what is not known. A subscript in a name is evaluated, and runs what is in it. */
function clobber(host: Host, names: readonly (string | null)[], by: string): void {
  for (const name of names) {
    if (name === null) {
      host.opaque(`${by} sets a variable that is not known`, by);
      host.scope.doubtEverything();
    } else if (NAME.test(name)) {
      if (host.scope.integers.has(name)) host.opaque(`${by} gives a value to an integer, which evaluates it`, name);
      host.scope.set(name, null);
      if (isDangerousVariable(name) && name !== 'IFS') host.opaque(`${name} decides what programs run`, by);
    } else subscripted(host, name, by);
  }
}

function subscripted(host: Host, name: string, by: string): void {
  const match = /^([A-Za-z_]\w*)\[(.*)\]$/s.exec(name);
  if (match?.[1] === undefined) return;
  host.scope.set(match[1], null);
  if (!isPlainSubscript(match[2] ?? '') && match[2] !== '@' && match[2] !== '*') host.opaque(`${by} evaluates a subscript`, name);
}

/** Is it sure that it is no list of words in parentheses? */
function isPlainValue(value: Glob): boolean {
  const [first] = value;
  return first === undefined || (typeof first === 'string' && first !== '(');
}

/** `export`, `declare` and their like, after their assignments were done by the grammar. */
const declare: Builtin = (host, words, context) => {
  const name = constantOf(words[0]);
  const given = texts(words.slice(1));
  let flags = '';
  let privilege = false;
  words.slice(1).forEach((word, index) => {
    const text = given[index] ?? null;
    if (text?.startsWith('-') === true || text?.startsWith('+') === true) {
      flags += text;
      return;
    }
    const equals = word === OPEN ? -1 : word.indexOf('=');
    const variable = word === OPEN ? null : constant(equals < 0 ? word : word.slice(0, equals));
    if (word === OPEN || variable === null) {
      host.opaque(`${name} sets a variable that is not known`, name);
      host.scope.doubtEverything();
      return;
    }
    const plus = variable.endsWith('+') ? variable.slice(0, -1) : variable;
    if (/f/.test(flags)) {
      if (name === 'export' || flags.includes('x')) host.runFunctionBody(variable, context);
      return;
    }
    if (!NAME.test(plus)) {
      subscripted(host, plus, name);
      return;
    }
    if (name === 'local' || (name === 'declare' && !flags.includes('g')) || name === 'typeset') host.declareLocal(plus);
    // What is set through a reference is another variable, and which one may change on the way.
    if (/-[A-Za-z]*n/.test(flags)) host.opaque('a variable stands for another', plus);
    if (/[niulcA]/.test(flags)) host.scope.strange.add(plus);
    if (/-[A-Za-z]*i/.test(flags)) host.scope.integers.add(plus);
    if (name === 'readonly' || /r/.test(flags)) {
      if (equals >= 0) host.scope.set(plus, { kind: 'text', values: [word.slice(equals + 1)] });
      if (host.scope.strange.has(plus)) host.scope.set(plus, null);
      host.scope.fixed.add(plus);
    } else if (equals >= 0) {
      if (plus !== variable || /[aA]/.test(flags)) host.scope.set(plus, null);
      else host.scope.setText(plus, [word.slice(equals + 1)]);
    } else if (/[niulcaA]/.test(flags) || name === 'local')
      host.scope.set(plus, name === 'local' ? null : (host.scope.variables.get(plus) ?? null));
    // A value in parentheses is read as the words of an array are.
    if (/-[A-Za-z]*[aA]/.test(flags) && equals >= 0 && !isPlainValue(word.slice(equals + 1)))
      host.opaque(`${name} evaluates a value`, plus);
    if (host.scope.integers.has(plus) && equals >= 0 && !isNumeric(word.slice(equals + 1))) host.opaque(`${name} evaluates a value`, plus);
    if (isDangerousVariable(plus)) {
      privilege = true;
      if (equals >= 0) environment(host, word, context);
    }
  });
  emit(host, words, context, effects => {
    if (privilege) effects.privilege.push('environment');
  });
};

const cd: Builtin = (host, words, context) => {
  const given = words.slice(1).filter(word => word === OPEN || !/^-[LPe@n]+$|^--$/.test(constant(word) ?? ''));
  const [target] = given;
  const name = constantOf(words[0]);
  emit(host, words, context);
  // With -P it is where links lead.
  const isPhysical = texts(words.slice(1)).some(text => text !== null && /^-[Len@]*P/.test(text));
  if (
    isPhysical ||
    target === OPEN ||
    (target !== undefined && constant(target) === '-') ||
    name === 'popd' ||
    (name === 'pushd' && target === undefined)
  ) {
    host.scope.directories = null;
    return;
  }
  if (host.scope.variables.has('CDPATH')) host.scope.directories = null;
  const home = host.scope.get('HOME');
  if (target === undefined && home?.kind !== 'text') {
    host.scope.directories = null;
    return;
  }
  const path: Glob = target ?? (home?.kind === 'text' && home.values.length === 1 ? (home.values[0] ?? UNKNOWN) : UNKNOWN);
  if (target !== undefined && typeof target[0] === 'object') host.scope.directories = null;
  const text = constant(path);
  if (text !== null && /^[+-]\d+$/.test(text)) host.scope.directories = null;
  const resolved = resolvePath(path, host.scope.directories);
  host.scope.addDirectories(resolved.some(each => typeof each[0] === 'object') ? null : resolved);
};

const evaluate: Builtin = (host, words, context) => {
  emit(host, words, context);
  const rest = words.slice(1);
  const [first] = rest;
  const code = first !== undefined && first !== OPEN && constant(first) === '--' ? rest.slice(1) : rest;
  if (code.length === 0) return;
  host.evalText(
    code.includes(OPEN) ? null : (code as Glob[]).flatMap((word, index): Glob => (index === 0 ? word : [' ', ...word])),
    context,
  );
};

const source: Builtin = (host, words, context) => {
  const [file, ...rest] = words.slice(1);
  emit(host, words, context, effects => {
    if (file !== undefined) effects.read(file === OPEN ? UNKNOWN : file);
  });
  if (file === undefined) return;
  if (file === OPEN || rest.includes(OPEN)) host.opaque('a script is read that is not known', constantOf(words[0]));
  else host.runsFile(file, words);
  host.scope.doubtEverything();
};

const exec: Builtin = (host, words, context) => {
  emit(host, words, context);
  let i = 1;
  for (; i < words.length; i += 1) {
    const word = words[i];
    const text = word === undefined || word === OPEN ? null : constant(word);
    if (text === null || !text.startsWith('-') || text === '-') break;
    if (text === '--') {
      i += 1;
      break;
    }
    if (/^-[cl]*a$/.test(text)) i += 1;
    else if (!/^-[cl]+$/.test(text) && !/^-[cl]*a./.test(text)) host.opaque('exec: an option is not known', text);
  }
  if (i < words.length) host.dispatch(words.slice(i), { ...context, wrappers: [...context.wrappers, 'exec'] });
};

const command: Builtin = (host, words, context) => {
  emit(host, words, context);
  const name = constantOf(words[0]);
  let i = 1;
  for (; i < words.length; i += 1) {
    const text = texts(words.slice(i, i + 1))[0] ?? null;
    if (text === '--') {
      i += 1;
      break;
    }
    if (text === null || !text.startsWith('-')) break;
    if (/[vV]/.test(text)) return;
    if (!/^-p+$/.test(text)) host.opaque(`${name}: an option is not known`, text);
  }
  if (i < words.length) host.dispatch(words.slice(i), { ...context, wrappers: [...context.wrappers, name] });
};

const unset: Builtin = (host, words, context) => {
  emit(host, words, context);
  const given = texts(words.slice(1));
  const functions = given.some(text => text?.startsWith('-') === true && text.includes('f'));
  for (const text of given) {
    if (text === null) {
      host.opaque('what is unset is not known', 'unset');
      host.scope.doubtEverything();
    } else if (!text.startsWith('-')) {
      if (host.scope.functions.has(text)) host.scope.functions.set(text, null);
      if (!NAME.test(text)) subscripted(host, text, 'unset');
      else if (!functions) {
        // Some variables lose what is special about them; a local one may uncover another.
        host.scope.set(text, text === 'IFS' ? { kind: 'text', values: [literal(' \t\n')] } : null);
      }
    }
  }
};

const read: Builtin = (host, words, context) => {
  const name = constantOf(words[0]);
  emit(host, words, context);
  const given = texts(words.slice(1));
  const names: (string | null)[] = [];
  const valued = name === 'read' ? 'adinNptu' : 'dnOsuCc';
  for (let i = 0; i < given.length; i += 1) {
    const text = given[i] ?? null;
    if (text?.startsWith('-') === true && text.length > 1) {
      const at = text
        .slice(1)
        .split('')
        .findIndex(letter => valued.includes(letter));
      if (at >= 0) {
        const letter = text.charAt(at + 1);
        const glued = text.length > at + 2;
        if (!glued) i += 1;
        const value = glued ? text.slice(at + 2) : (given[i] ?? null);
        if (letter === 'a') names.push(value);
        if (letter === 'C') host.opaque(`${name} runs a callback`, name);
      }
    } else names.push(text);
  }
  clobber(host, names.length === 0 ? [name === 'read' ? 'REPLY' : 'MAPFILE'] : names, name);
};

const printf: Builtin = (host, words, context) => {
  emit(host, words, context);
  const given = texts(words.slice(1));
  const [first] = given;
  if (first === undefined) return;
  if (first === null) {
    if (words[1] === OPEN || (words[1] !== undefined && typeof words[1][0] === 'object')) clobber(host, [null], 'printf');
  } else if (first.startsWith('-v')) clobber(host, [first.length > 2 ? first.slice(2) : (given[1] ?? null)], 'printf');
};

const set: Builtin = (host, words, context) => {
  emit(host, words, context);
  const given = texts(words.slice(1));
  for (let i = 0; i < given.length; i += 1) {
    const text = given[i] ?? null;
    const rest = words.slice(i + 2);
    if (text === '--') {
      host.scope.positionals = rest.includes(OPEN) ? null : (rest as Glob[]);
      return;
    }
    if (text === null) {
      host.opaque('what is set is not known', 'set');
      host.scope.positionals = null;
      return;
    }
    if (!/^[-+]./.test(text)) {
      const all = words.slice(i + 1);
      host.scope.positionals = all.includes(OPEN) ? null : (all as Glob[]);
      return;
    }
    if (/o$/.test(text)) {
      i += 1;
      const option = given[i];
      if (
        option !== undefined &&
        !/^(?:pipefail|errexit|nounset|xtrace|verbose|errtrace|functrace|noclobber|monitor|notify|ignoreeof|vi|emacs)$/.test(option ?? '')
      )
        host.opaque('an option changes how text is read', 'set -o');
    }
    // -k, -B, -f, -P, -H: how words are read; -T and -E only pass traps on.
    if (/[^euxvnbhmCTEo+-]/.test(text)) host.opaque('an option changes how text is read', `set ${text}`);
  }
};

const shift: Builtin = (host, words, context) => {
  emit(host, words, context);
  const [count = '1'] = texts(words.slice(1));
  const { positionals } = host.scope;
  host.scope.positionals = positionals === null || count === null || !/^\d+$/.test(count) ? null : positionals.slice(Number(count));
};

const trap: Builtin = (host, words, context) => {
  emit(host, words, context);
  const rest = words.slice(1);
  const [first] = rest;
  const text = first === undefined || first === OPEN ? null : constant(first);
  const code = text === '--' ? rest.slice(1) : rest;
  if (text === '-l' || text === '-p' || code.length < 2 || text === '-' || text === '') return;
  const [body] = code;
  host.trapText(body === undefined || body === OPEN ? null : body, context);
};

const alias: Builtin = (host, words, context) => {
  emit(host, words, context);
  for (const word of words.slice(1)) {
    const equals = word === OPEN ? -1 : word.indexOf('=');
    if (word === OPEN || (equals < 0 && constant(word) === null)) host.opaque('an alias is set that is not known', 'alias');
    else if (equals > 0) host.aliasText(constant(word.slice(0, equals)) ?? '**', word.slice(equals + 1), context);
  }
};

const SHOPTS =
  /^(?:nullglob|failglob|globstar|dotglob|extglob|cmdhist|histappend|checkwinsize|cdspell|autocd|dirspell|nocasematch|checkjobs|huponexit|inherit_errexit|lithist|globskipdots)$/;

const shopt: Builtin = (host, words, context) => {
  emit(host, words, context);
  const given = texts(words.slice(1));
  const changes = given.some(text => text === null || /^-[qp]*[su]/.test(text) || text.includes('o'));
  if (changes && given.some(text => text === null || (!text.startsWith('-') && !SHOPTS.test(text)) || /^-\w*o/.test(text)))
    host.opaque('an option changes how text is read', 'shopt');
};

const letBuiltin: Builtin = (host, words, context) => {
  emit(host, words, context);
  for (const word of words.slice(1)) {
    const text = word === OPEN ? null : constant(word);
    const [, name, value] = /^\s*([A-Za-z_]\w*)\s*(?:[-+*/%]?=|\+\+|--)\s*(.*)$/s.exec(text ?? '') ?? [];
    if (name === undefined || !/^[\s\d+*/%()-]*$/.test(value ?? '')) host.opaque('let evaluates a text', text ?? 'let');
    if (name !== undefined) host.scope.set(name, null);
  }
};

/** What only looks, or says something to the shell that no command follows from; some of their options do more. */
const guarded =
  (dangerous: RegExp, reason: string): Builtin =>
  (host, words, context) => {
    emit(host, words, context);
    const given = texts(words.slice(1));
    if (given.some(text => text === null || dangerous.test(text))) host.opaque(reason, constantOf(words[0]));
  };

const test: Builtin = (host, words, context) => {
  emit(host, words, context);
  const given = texts(words.slice(1));
  given.forEach((text, index) => {
    // `-v 'a[…]'` evaluates; an operator that is not known may be it.
    if (
      (given[index - 1] === '-v' || given[index - 1] === '-R') &&
      (text === null || (!NAME.test(text) && !/^[A-Za-z_]\w*\[\d+\]$/.test(text)))
    )
      host.opaque('test evaluates a name', 'test -v');
  });
};

const jobs: Builtin = (host, words, context) => {
  emit(host, words, context);
  if (texts(words)[1] === '-x') host.dispatch(words.slice(2), context);
  else if (words[1] === OPEN || (words[1] !== undefined && constant(words[1]) === null))
    host.opaque('jobs: its words are not known', 'jobs');
};

const getopts: Builtin = (host, words, context) => {
  emit(host, words, context);
  clobber(host, [texts(words)[2] ?? null, 'OPTARG', 'OPTIND'], 'getopts');
};

const wait: Builtin = (host, words, context) => {
  emit(host, words, context);
  const given = texts(words);
  const at = given.indexOf('-p');
  if (at > 0) clobber(host, [given[at + 1] ?? null], 'wait');
};

const opaqueAlways =
  (reason: string): Builtin =>
  (host, words, context) => {
    emit(host, words, context);
    host.opaque(reason, constantOf(words[0]));
  };

const BUILTINS = new Map<string, Builtin>([
  ...['export', 'declare', 'typeset', 'local', 'readonly'].map((name): [string, Builtin] => [name, declare]),
  ...['cd', 'chdir', 'pushd', 'popd'].map((name): [string, Builtin] => [name, cd]),
  ['eval', evaluate],
  ['source', source],
  ['.', source],
  ['exec', exec],
  ['command', command],
  ['builtin', command],
  ['unset', unset],
  ...['read', 'mapfile', 'readarray'].map((name): [string, Builtin] => [name, read]),
  ['printf', printf],
  ['set', set],
  ['shift', shift],
  ['trap', trap],
  ['alias', alias],
  ['unalias', guarded(/^$/, 'what is unset is not known')],
  ['shopt', shopt],
  ['let', letBuiltin],
  ['test', test],
  ['[', test],
  ['jobs', jobs],
  ['getopts', getopts],
  ['wait', wait],
  ['hash', guarded(/^-[a-z]*p/, 'hash -p decides what a name runs')],
  ['enable', guarded(/^-[a-z]*[fnd]|^[^-]/, 'enable decides what a name runs')],
  ['complete', guarded(/^-/, 'completion runs commands')],
  ['compgen', guarded(/^-[a-z]*[CFWP]|^-[a-z]*X/, 'completion runs commands')],
  ['compopt', guarded(/^$/, 'completion runs commands')],
  ['history', guarded(/^-[a-z]*[rnspaw]/, 'the history is changed, from which lines are taken')],
  ['bind', opaqueAlways('keys are given other meanings')],
  ['fc', opaqueAlways('lines of the history are run')],
]);

export function builtinCalled(name: string): Builtin | undefined {
  return BUILTINS.get(name);
}
