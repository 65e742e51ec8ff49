/**
 * Which parameters of a client's StartupMessage reach the database: an allow-list of what shapes a session's display and
 * planning. Whatever could change who the session is, what it may do, or how statements are read is refused or left out.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';

/** Passed on as they are. */
const PASSED = new Set([
  'application_name',
  'bytea_output',
  'client_encoding',
  'client_min_messages',
  'datestyle',
  'default_transaction_isolation',
  'default_transaction_read_only',
  'extra_float_digits',
  'geqo',
  'idle_in_transaction_session_timeout',
  'intervalstyle',
  'lc_messages',
  'lock_timeout',
  'search_path',
  'statement_timeout',
  'timezone',
  'work_mem',
  'jit',
]);

export interface StartupChoice {
  database: string | undefined;
  user: string;
  passed: Map<string, string>;
  /** `_pq_.` options, none of which is known. */
  protocolOptions: string[];
}

function refused(message: string): GatewayError {
  return new GatewayError('PG_STARTUP_PARAMETER', 'denied', message);
}

/**
 * Sorts a StartupMessage's parameters.
 *
 * @throws {GatewayError} PG_STARTUP_PARAMETER, PG_REPLICATION; the message is for the client and names the parameter.
 */
export function chooseParameters(parameters: ReadonlyMap<string, string>): StartupChoice {
  const choice: StartupChoice = { database: undefined, user: '', passed: new Map(), protocolOptions: [] };
  for (const [name, value] of parameters) {
    const key = name.toLowerCase();
    if (key === 'user') choice.user = value;
    else if (key === 'database') choice.database = value;
    else if (key === 'replication') {
      if (!/^(false|off|no|0)$/i.test(value))
        throw new GatewayError('PG_REPLICATION', 'denied', 'replication connections are not served through this gateway');
    } else if (name.startsWith('_pq_.')) choice.protocolOptions.push(name);
    else if (key === 'options') for (const [setting, text] of settingsOf(value)) pass(choice, setting, text);
    else pass(choice, key, value);
  }
  return choice;
}

function pass(choice: StartupChoice, name: string, value: string): void {
  if (!PASSED.has(name)) {
    throw refused(
      `the parameter ${JSON.stringify(name.slice(0, 64))} cannot be set when connecting through this gateway; set it with SET after connecting, where policy allows it`,
    );
  }
  choice.passed.set(name, value);
}

/** `-c name=value` and `--name=value` of `options`, split at unescaped spaces as PostgreSQL splits them (pg_split_opts). */
function settingsOf(options: string): [string, string][] {
  const words: string[] = [];
  let word = '';
  let inWord = false;
  for (let i = 0; i < options.length; i++) {
    const char = options[i] as string;
    if (char === '\\' && i + 1 < options.length) {
      word += options[++i];
      inWord = true;
    } else if (/[ \t\n\r\v\f]/.test(char)) {
      if (inWord) words.push(word);
      word = '';
      inWord = false;
    } else {
      word += char;
      inWord = true;
    }
  }
  if (inWord) words.push(word);
  const settings: [string, string][] = [];
  for (let i = 0; i < words.length; i++) {
    const text = words[i] as string;
    let setting: string;
    if (text === '-c') setting = words[++i] ?? '';
    else if (text.startsWith('-c')) setting = text.slice(2);
    else if (text.startsWith('--')) setting = text.slice(2);
    else throw refused(`of \`options\`, only \`-c name=value\` is understood`);
    const equals = setting.indexOf('=');
    if (equals < 1) throw refused(`of \`options\`, only \`-c name=value\` is understood`);
    settings.push([setting.slice(0, equals).replaceAll('-', '_').toLowerCase(), setting.slice(equals + 1)]);
  }
  return settings;
}
