/**
 * Programs that take code: which of it is harmless enough to be known. sed's scripts are read by their grammar; of awk's only
 * those that surely start nothing and write no file; of other interpreters' none.
 */
import { type Glob, literal } from './glob.ts';

export type SedEffect = { use: 'read' | 'write'; path: Glob };

/** Commands of sed that take no argument. */
const SED_PLAIN = new Set('dDgGhHlnNpPqQx=zF'.split(''));

/**
 * @returns the files that the script reads and writes; null when it runs commands or is not understood.
 * @see https://www.gnu.org/software/sed/manual/sed.html
 */
export function readSedScript(script: string): SedEffect[] | null {
  const effects: SedEffect[] = [];
  let i = 0;
  const skip = (chars: string): void => {
    while (i < script.length && chars.includes(script.charAt(i))) i += 1;
  };
  const line = (): string => {
    const end = script.indexOf('\n', i);
    const text = script.slice(i, end < 0 ? script.length : end);
    i = end < 0 ? script.length : end;
    return text;
  };
  /** Up to the next delimiter that is not escaped and not in brackets. */
  const delimited = (delimiter: string): boolean => {
    for (let inBrackets = false; i < script.length; i += 1) {
      const c = script.charAt(i);
      if (c === '\\') i += 1;
      else if (inBrackets) {
        // GNU sed ends a pattern at its delimiter even in brackets in some versions: refuse what would differ.
        if (c === delimiter) return false;
        if (c === ']') inBrackets = false;
      } else if (c === '[' && delimiter !== '[') {
        inBrackets = true;
        if (script[i + 1] === '^') i += 1;
        if (script[i + 1] === ']') i += 1;
      } else if (c === delimiter) {
        i += 1;
        return true;
      }
    }
    return false;
  };
  const replacement = (delimiter: string): boolean => {
    for (; i < script.length; i += 1) {
      const c = script.charAt(i);
      if (c === '\\') i += 1;
      else if (c === delimiter) {
        i += 1;
        return true;
      }
    }
    return false;
  };
  const address = (): boolean => {
    const c = script.charAt(i);
    if (c === '/') {
      i += 1;
      if (!delimited('/')) return false;
      skip('IM');
    } else if (c === '\\') {
      const delimiter = script.charAt(i + 1);
      i += 2;
      if (delimiter === '' || !delimited(delimiter)) return false;
      skip('IM');
    } else skip('0123456789$~+');
    return true;
  };
  while (i < script.length) {
    skip(' \t\n;');
    if (i >= script.length) break;
    if (script[i] === '#') {
      line();
      continue;
    }
    if (!address()) return null;
    skip(' \t');
    if (script[i] === ',') {
      i += 1;
      skip(' \t');
      if (!address()) return null;
    }
    skip(' \t!');
    const command = script.charAt(i);
    i += 1;
    if (command === '{' || command === '}') continue;
    if (command === 's' || command === 'y') {
      const delimiter = script.charAt(i);
      i += 1;
      if (delimiter === '' || delimiter === '\\' || delimiter === '\n') return null;
      if (!delimited(delimiter) || !replacement(delimiter)) return null;
      if (command === 's') skip('gpiImM0123456789');
      if (script[i] === 'w') {
        i += 1;
        skip(' \t');
        effects.push({ use: 'write', path: literal(line()) });
        continue;
      }
    } else if (command === 'a' || command === 'i' || command === 'c') {
      // A line that ends in a backslash goes on in the next.
      for (let text = line(); text.endsWith('\\') && i < script.length; text = line()) i += 1;
      continue;
    } else if (command === 'b' || command === 't' || command === 'T' || command === ':') {
      while (i < script.length && !';\n}'.includes(script.charAt(i))) i += 1;
      continue;
    } else if (command === 'r' || command === 'R' || command === 'w' || command === 'W') {
      skip(' \t');
      effects.push({ use: command.toLowerCase() === 'r' ? 'read' : 'write', path: literal(line()) });
      continue;
    } else if (SED_PLAIN.has(command)) skip(' \t0123456789');
    else return null;
    skip(' \t');
    if (i < script.length && !';\n}#'.includes(script.charAt(i))) return null;
  }
  return effects;
}

/** Words of awk behind which a slash begins a pattern, though they look like names. */
const AWK_KEYWORDS: ReadonlySet<string> = new Set(['print', 'printf', 'return', 'in', 'do', 'else', 'case', 'delete', 'exit']);

/**
 * Is it sure that an awk program starts nothing, and writes and reads no file of its own? It is cut into tokens as awk cuts it, so
 * that a text or a pattern hides nothing. What could be cut in two ways is not sure.
 *
 * @see https://pubs.opengroup.org/onlinepubs/9699919799/utilities/awk.html#tag_20_06_13_16
 */
export function isHarmlessAwk(program: string): boolean {
  let i = 0;
  /** Does what came before end an operand, so that a slash divides? null: not sure. */
  let operand: boolean | null = false;
  let prints = false;
  let continues = false;
  while (i < program.length) {
    const c = program.charAt(i);
    if (c === ' ' || c === '\t') {
      i += 1;
      continue;
    }
    if (c === '#') {
      while (i < program.length && program[i] !== '\n') i += 1;
      continue;
    }
    if (c === '\\' || c === '@') return false;
    if (c === '"' || (c === '/' && operand === false)) {
      i += 1;
      let inBrackets = false;
      for (; i < program.length && (program[i] !== c || inBrackets); i += 1) {
        const inner = program.charAt(i);
        if (inner === '\n') return false;
        if (inner === '\\') i += 1;
        // Some awks end a pattern at a slash in brackets, and others do not.
        else if (c === '/' && inner === '[') inBrackets = true;
        else if (inner === ']') inBrackets = false;
        if (inBrackets && inner === '/') return false;
      }
      if (i >= program.length) return false;
      i += 1;
      operand = true;
      continues = false;
      continue;
    }
    if (c === '/' && operand === null) return false;
    const name = /^[A-Za-z_]\w*/.exec(program.slice(i))?.[0];
    if (name !== undefined) {
      if (/^(?:system|getline|ARGV|ARGC|SYMTAB|FUNCTAB)$/.test(name)) return false;
      if (name === 'print' || name === 'printf') prints = true;
      operand = !AWK_KEYWORDS.has(name);
      continues = false;
      i += name.length;
      continue;
    }
    const two = program.slice(i, i + 2);
    if (two === '||' || two === '&&') {
      operand = false;
      continues = true;
      i += 2;
      continue;
    }
    if (c === '|') return false;
    if (two === '++' || two === '--') {
      operand = null;
      continues = false;
      i += 2;
      continue;
    }
    // After print, `>` is a file; elsewhere it compares.
    if (c === '>' && prints) return false;
    if (c === ';' || c === '}' || (c === '\n' && !continues)) prints = false;
    if (c === '\n') {
      operand = false;
      i += 1;
      continue;
    }
    continues = c === ',' || c === '{';
    operand = /[\d.)\]$]/.test(c);
    i += 1;
  }
  return true;
}

const INTERPRETER =
  /^(?:python|pypy|ipython|perl|ruby|jruby|irb|node|nodejs|deno|bun|php|php-cli|lua|luajit|java|Rscript|R|julia|guile|scheme|racket|tcl|osascript|pwsh|powershell|scala|kotlin|crystal|nim|escript|ocamlrun|gjs|qjs|d8|jsc|mujs|gst|factor|forth|gforth|picolisp|newlisp|janet|fennel|raku|moar|cscript|stap)[\d.]*(?:-?config)?$/;

export function isInterpreter(name: string): boolean {
  return INTERPRETER.test(name);
}

/** Python modules that do what their arguments say and run no code from them. */
const PYTHON_MODULES: ReadonlySet<string> = new Set([
  'json.tool',
  'venv',
  'pip',
  'compileall',
  'py_compile',
  'calendar',
  'platform',
  'site',
  'sysconfig',
  'tarfile',
  'zipfile',
  'gzip',
  'base64',
  'ensurepip',
  'tabnanny',
  'unittest',
  'pytest',
  'http.server',
  'uvicorn',
  'gunicorn',
  'flask',
  'django',
  'black',
  'ruff',
  'mypy',
]);
const PYTHON_SERVERS: ReadonlySet<string> = new Set([
  'http.server',
  'SimpleHTTPServer',
  'uvicorn',
  'gunicorn',
  'flask',
  'smtpd',
  'pyftpdlib',
  'xmlrpc.server',
  'pydoc',
]);

export function isPlainModule(module: string): boolean {
  return PYTHON_MODULES.has(module);
}

export function isServerModule(module: string): boolean {
  return PYTHON_SERVERS.has(module);
}
