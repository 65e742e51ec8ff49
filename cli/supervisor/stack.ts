/**
 * Which children `sallyport up` has, and how each is started. Each gets the environment that it needs and no more: the
 * credentials of the user's manifests are in the control plane's alone.
 */
import { access } from 'node:fs/promises';
import { getCompileCacheDir } from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { prepareSamplePostgres, samplePostgres, samplePostgresAnswers } from '../demo/postgres.ts';
import type { ChildPlan, Launch } from './child.ts';
import type { SupervisorState } from './state.ts';

export const NAMES = {
  controlPlane: 'control-plane',
  agent: 'agent',
  sessionStore: 'session-store',
  ingest: 'ingest',
  outputs: 'outputs',
  demoDatabase: 'demo-postgres',
  demoIdentityProvider: 'demo-identity-provider',
} as const;

export interface StackOptions {
  dataFolder: string;
  state: SupervisorState;
  ports: { console: number; grpc: number; clickhouse: number };
  agentWorkers?: number;
  /** Empty when the log is in files. */
  kafkaArguments: readonly string[];
  /** Whether the agent goes by the control plane all the same. */
  agentRelay: boolean;
  env: Readonly<Record<string, string | undefined>>;
  /** Variables that only the control plane gets, e.g. the sample database's password. */
  credentials: Record<string, string>;
  /** A one-time token for the agent's first start. */
  invite(): Promise<string>;
}

/** The four parts of every installation. */
export function stackPlans(options: StackOptions): Record<'controlPlane' | 'agent' | 'sessionStore' | 'ingest', ChildPlan> {
  const { dataFolder, state, ports } = options;
  const folder = (name: string) => path.join(dataFolder, name);
  const store = { SALLYPORT_STORE_USER: state.store.user, SALLYPORT_STORE_PASSWORD: state.store.password };
  const reader = state.storeReader;
  const readerVariables =
    reader === undefined ? {} : { SALLYPORT_STORE_READONLY_USER: reader.user, SALLYPORT_STORE_READONLY_PASSWORD: reader.password };
  const storeUrl = `http://127.0.0.1:${ports.clickhouse}`;
  return {
    sessionStore: {
      name: NAMES.sessionStore,
      launch: async () =>
        node(
          '@sallyport/control-plane/session-store/main.ts',
          ['--data', folder('session-store'), '--listen', `127.0.0.1:${ports.clickhouse}`],
          plainEnvironment(options.env, { ...store, ...readerVariables }),
        ),
    },
    controlPlane: {
      name: NAMES.controlPlane,
      launch: async () =>
        node(
          '@sallyport/control-plane/main.ts',
          [
            ...['--data', folder('control-plane')],
            ...['--http', `127.0.0.1:${ports.console}`, '--grpc', `127.0.0.1:${ports.grpc}`],
            ...['--clickhouse', storeUrl],
            ...options.kafkaArguments,
          ],
          { ...options.env, ...store, ...options.credentials },
        ),
    },
    ingest: {
      name: NAMES.ingest,
      launch: async () =>
        node(
          '@sallyport/control-plane/ingest/main.ts',
          [
            ...(options.kafkaArguments.length > 0 ? options.kafkaArguments : ['--log', path.join(folder('control-plane'), 'log')]),
            ...['--clickhouse', storeUrl],
          ],
          plainEnvironment(options.env, { ...store, ...kafkaPassword(options.env) }),
        ),
    },
    agent: {
      name: NAMES.agent,
      launch: async () => {
        const enrolled = await hasIdentity(folder('agent'));
        return node(
          '@sallyport/agent/main.ts',
          [
            ...['--data', folder('agent'), '--control-plane', `127.0.0.1:${ports.grpc}`],
            ...(enrolled ? [] : ['--join', await options.invite()]),
            ...(options.agentWorkers === undefined ? [] : ['--workers', String(options.agentWorkers)]),
            ...(options.agentRelay ? [] : options.kafkaArguments),
          ],
          { ...plainEnvironment(options.env, options.agentRelay ? {} : kafkaPassword(options.env)), ...ownAwsRole(options.env), ...LEAN },
          LEAN_FLAGS,
        );
      },
    },
  };
}

/** @param variables what the file of outputs names, and no more. */
export function outputsPlan(options: StackOptions, file: string, variables: Record<string, string>): ChildPlan {
  const folder = (...names: string[]) => path.join(options.dataFolder, ...names);
  return {
    name: NAMES.outputs,
    launch: async () =>
      node(
        '@sallyport/control-plane/outputs/main.ts',
        [
          ...['--config', file, '--data', folder('outputs')],
          ...(options.kafkaArguments.length > 0 ? options.kafkaArguments : ['--log', folder('control-plane', 'log')]),
        ],
        plainEnvironment(options.env, { ...variables, ...kafkaPassword(options.env) }),
      ),
  };
}

/** The demo's sample database. */
export function sampleDatabasePlan(folder: string, port: number): ChildPlan {
  return {
    name: NAMES.demoDatabase,
    foreign: true,
    stopSignal: 'SIGINT', // PostgreSQL's fast shutdown
    launch: async () => {
      const { command, args, workingFolder, user } = await prepareSamplePostgres(folder, port);
      return { command, args, workingFolder, env: { PATH: process.env.PATH, TZ: 'UTC', LC_ALL: 'C' }, ...(user ? { user } : {}) };
    },
    answers: async () => samplePostgresAnswers(await samplePostgres(folder), port),
  };
}

export function sampleIdentityProviderPlan(folder: string, port: number, env: StackOptions['env']): ChildPlan {
  return {
    name: NAMES.demoIdentityProvider,
    launch: async () =>
      node(
        path.join(import.meta.dirname, '..', 'demo', 'identity-provider.ts'),
        ['--data', folder, '--listen', `127.0.0.1:${port}`],
        plainEnvironment(env, {}),
      ),
  };
}

/** The variable that the sample manifests read the sample database's password from. */
export const SAMPLE_PASSWORD_VARIABLE = 'CRM_PASSWORD';

/** Has glibc give the read buffers of busy sessions back to the system when they are freed; other systems do not look at it. */
const LEAN = { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: '65536', MALLOC_TRIM_THRESHOLD_: '131072' };

/**
 * What an agent makes is either short-lived or small: more room for new objects is memory without speed. Each of V8's threads holds tens
 * of megabytes while it compiles; more of them than half of the processors save no time.
 */
const LEAN_FLAGS = ['--max-semi-space-size=2', `--v8-pool-size=${Math.max(1, Math.min(4, Math.floor(availableParallelism() / 2)))}`];

function node(module: string, args: string[], env: Launch['env'], flags: string[] = []): Launch {
  const file = path.isAbsolute(module) ? module : new URL(import.meta.resolve(module)).pathname;
  const compileCache = getCompileCacheDir(); // ours, a folder above the one for this version of the runtime
  const cached = compileCache === undefined ? {} : { NODE_COMPILE_CACHE: path.dirname(compileCache) };
  return {
    command: process.execPath,
    args: [...flags, '--import', path.join(import.meta.dirname, 'tether.ts'), file, ...args],
    env: { ...env, ...cached },
  };
}

/** The agent keeps the certificate that it got when it joined. */
async function hasIdentity(agentFolder: string): Promise<boolean> {
  return access(path.join(agentFolder, 'identity.json')).then(
    () => true,
    () => false,
  );
}

/** What a process needs of the environment to run at all. */
const PLAIN = /^(PATH|HOME|USER|LOGNAME|TMPDIR|TZ|LANG|LC_\w+|NODE_\w+|SSL_CERT_\w+|NO_COLOR|SALLYPORT_(LOG|AGENT)_\w+)$/;

/** The one option of Kafka's that is no flag. */
function kafkaPassword(env: StackOptions['env']): Record<string, string> {
  const password = env['SALLYPORT_KAFKA_PASSWORD'];
  return password === undefined ? {} : { SALLYPORT_KAFKA_PASSWORD: password };
}

/** By which the agent has keys of AWS of its own (agent/aws/own-keys.ts): a Credential may say `awsRdsIam` without any. */
const AWS_ROLE = [
  ...['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'],
  ...['AWS_WEB_IDENTITY_TOKEN_FILE', 'AWS_ROLE_ARN', 'AWS_ROLE_SESSION_NAME', 'AWS_ENDPOINT_URL_STS'],
  ...['AWS_CONTAINER_CREDENTIALS_FULL_URI', 'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'],
  ...['AWS_CONTAINER_AUTHORIZATION_TOKEN', 'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'],
  ...['AWS_EC2_METADATA_DISABLED', 'AWS_EC2_METADATA_SERVICE_ENDPOINT'],
];

function ownAwsRole(env: StackOptions['env']): Record<string, string> {
  return Object.fromEntries(AWS_ROLE.flatMap(name => (env[name] === undefined ? [] : [[name, env[name]]])));
}

function plainEnvironment(env: StackOptions['env'], more: Record<string, string>): Launch['env'] {
  return { ...Object.fromEntries(Object.entries(env).filter(([name]) => PLAIN.test(name))), ...more };
}
