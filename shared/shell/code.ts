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

/** Is it sure that an awk program starts nothing, and writes and reads no file of its own? */
export function isHarmlessAwk(program: string): boolean {
  if (/system|getline|@|\\\n/.test(program)) return false;
  if (program.replaceAll('||', '').includes('|')) return false;
  // After print, `>` is a file; elsewhere it compares.
  return !/print[^;}\n]*>/.test(program);
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
