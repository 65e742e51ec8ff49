/**
 * `sallyport up`: checks everything that can be checked, starts the children in order, applies the manifests, writes
 * endpoints.json, says `ready`, and then keeps the children running until it is told to stop.
 *
 * It takes no part in what the children do: manifests go through the same API that everybody uses, and the agent enrols with
 * an invitation over gRPC, as it would across a network.
 */
import path from 'node:path';
import { kafkaArguments, kafkaConfig, withVariables } from '@sallyport/kafka/config.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import type { UpFlags } from '../commands/up.ts';
import { saveDemo } from '../demo/demo-file.ts';
import { fillSamplePostgres, sampleCa, samplePostgres } from '../demo/postgres.ts';
import { type DemoPorts, PREFERRED_PORTS, placeSampleManifests } from '../demo/sample-manifests.ts';
import { dataFolder, type Endpoints, removeEndpoints, writeEndpoints } from '../endpoints.ts';
import { requestJson } from '../http-client.ts';
import { checkManifests, checkSecrets, type ManifestFile, readManifestFiles } from '../manifest-files.ts';
import { shownPath } from '../shown-path.ts';
import type { Terminal } from '../terminal.ts';
import { Child, type ChildPlan, type ReadyLine, signalGroup } from './child.ts';
import { PortClaims } from './port-claims.ts';
import { choosePorts, type HeldPort, holdPort, isFree, takenOf } from './ports.ts';
import {
  NAMES,
  outputsPlan,
  SAMPLE_PASSWORD_VARIABLE,
  type StackOptions,
  sampleDatabasePlan,
  sampleIdentityProviderPlan,
  stackPlans,
} from './stack.ts';
import { startScreen } from './start-screen.ts';
import { endLeftovers, openState, processStart, type SupervisorState } from './state.ts';
import { listenForStop, type StopSignal } from './stop-signal.ts';

const SERVING_TIMEOUT_MS = 120_000;
/** All children together have this long to stop; what is left then is killed. */
const STOP_MS = 8_500;
/** Of a start whose ports others take. */
const STARTS_MAX = 4;

/** Runs until it is stopped. Returns 0; throws what kept it from starting. */
export async function up(flags: UpFlags, terminal: Terminal): Promise<number> {
  const folder = dataFolder(flags.data, terminal.env);
  const { lock, state, save } = await openState(folder);
  const stop = listenForStop();
  try {
    await new Supervisor(flags, terminal, folder, state, save, stop).run();
    return 0;
  } catch (error) {
    if (error instanceof Stopped) return 0;
    throw error;
  } finally {
    stop.dispose();
    lock.release();
  }
}

/** Thrown through the start when somebody asks to stop in the middle of it. */
class Stopped extends Error {}

class Supervisor {
  readonly #flags: UpFlags;
  readonly #terminal: Terminal;
  readonly #folder: string;
  readonly #state: SupervisorState;
  readonly #save: () => Promise<void>;
  readonly #stop: StopSignal;
  /** In the order of their start. */
  readonly #children: Child[] = [];
  #endpoints: Endpoints | undefined;
  readonly #claims = new PortClaims();
  /** Kept until the agent takes it. */
  #gatewayPort: HeldPort | undefined;
  #writing: Promise<void> = Promise.resolve();
  #controlPlane: ReadyLine = {};

  constructor(flags: UpFlags, terminal: Terminal, folder: string, state: SupervisorState, save: () => Promise<void>, stop: StopSignal) {
    this.#flags = flags;
    this.#terminal = terminal;
    this.#folder = folder;
    this.#state = state;
    this.#save = save;
    this.#stop = stop;
  }

  async run(): Promise<void> {
    try {
      await this.#start();
      await this.#stop.asked;
    } finally {
      await this.#shutDown();
    }
  }

  async #start(): Promise<void> {
    const startedAt = Date.now();
    const { env } = this.#terminal;
    const demo = this.#flags.demo === true;
    // What can be wrong is found before anything is started.
    const kafka = kafkaConfig(this.#flags.kafka, env, 'up');
    const outputs = await this.#outputs();
    let files = this.#flags.config === undefined ? [] : await readManifestFiles(this.#flags.config);
    let manifests = (await this.#check(files)).manifests;
    if (!demo) checkSecrets(manifests, env);
    await removeEndpoints(this.#folder);
    await endLeftovers(this.#state.processes);
    this.#state.processes = {};
    await this.#checkListenAddresses(manifests);
    const before = this.#demoPorts();
    const optionsOn = async (ports: Record<string, number>): Promise<StackOptions> => ({
      dataFolder: this.#folder,
      kafkaArguments: kafkaArguments(kafka === null ? {} : withVariables(this.#flags.kafka, env)),
      agentRelay: this.#flags.agentRelay === true,
      state: this.#state,
      ports: { console: ports.console ?? 0, grpc: ports.grpc ?? 0, clickhouse: ports.clickhouse ?? 0 },
      ...(this.#flags.agentWorkers === undefined ? {} : { agentWorkers: this.#flags.agentWorkers }),
      env,
      credentials: demo ? await this.#demoCredentials() : {},
      invite: () => this.#invite(),
    });
    const { ports, started: plans } = await this.#onFreePorts(demo && files.length === 0, async chosen => {
      const options = await optionsOn(chosen);
      const plans = {
        ...stackPlans(options),
        outputs: outputs === null ? null : outputsPlan(options, outputs.file, outputs.variables),
      };
      const starts = [this.#startChild(plans.controlPlane, 'control plane'), this.#startChild(plans.sessionStore, 'session store')];
      if (demo) {
        starts.push(
          this.#startSampleDatabase(),
          this.#startChild(
            sampleIdentityProviderPlan(path.join(this.#demoFolder, 'identity-provider'), this.#demoPorts().identityProvider, env),
            'sample identity provider',
          ),
        );
      }
      this.#controlPlane = (await Promise.all(starts))[0] ?? {};
      return plans;
    });
    if (demo && files.length === 0) {
      const manifestFolder = path.join(this.#demoFolder, 'manifests');
      await placeSampleManifests(manifestFolder, before, this.#demoPorts(), sampleCa(path.join(this.#demoFolder, 'postgres')));
      files = await readManifestFiles(manifestFolder);
      manifests = (await this.#check(files)).manifests;
    }
    if (demo) checkSecrets(manifests, { ...(await this.#demoCredentials()), ...env });

    await this.#apply(files, manifests);
    await this.#gatewayPort?.release();
    await Promise.all([
      this.#startChild(plans.ingest, 'ingest'),
      this.#startChild(plans.agent, 'agent'),
      ...(plans.outputs === null ? [] : [this.#startChild(plans.outputs, 'outputs')]),
    ]);
    const resources = await this.#untilServed(manifests);
    this.#endpoints = {
      console: String(this.#controlPlane.http),
      api: String(this.#controlPlane.http),
      grpc: String(this.#controlPlane.grpc),
      clickhouse: { url: `http://127.0.0.1:${ports.clickhouse}`, ...this.#state.store },
      ca: String(this.#controlPlane.ca),
      resources,
      pids: {},
      adminToken: String(this.#controlPlane.adminToken),
      ...(this.#state.storeReader === undefined
        ? {}
        : { clickhouseReader: { url: `http://127.0.0.1:${ports.clickhouse}`, ...this.#state.storeReader } }),
    };
    await this.#writeEndpoints();
    this.#checkStop();
    this.#terminal.out(
      startScreen(
        {
          endpoints: this.#endpoints,
          dataFolder: this.#folder,
          manifestFolder: this.#flags.config ?? (demo ? path.join(this.#demoFolder, 'manifests') : undefined),
          demo,
          tookMs: Date.now() - startedAt,
          env,
        },
        this.#terminal.style,
      ),
    );
    this.#terminal.out('ready');
  }

  /** The file of outputs, which must be right before anything is started, and the variables that it names. */
  async #outputs(): Promise<{ file: string; variables: Record<string, string> } | null> {
    if (this.#flags.outputs === undefined) return null;
    const { checkOutputs } = await import('@sallyport/control-plane/outputs/config.ts');
    const file = path.resolve(this.#flags.outputs);
    return { file, variables: checkOutputs(file, this.#terminal.env) };
  }

  async #check(files: readonly ManifestFile[]): Promise<{ manifests: Manifest[] }> {
    const parsed = await checkManifests(files);
    const { yellow } = this.#terminal.errStyle;
    for (const { file, line, column, message } of parsed.warnings) {
      this.#terminal.err(`${yellow('warning:')} ${file}:${line}:${column}: ${message}`);
    }
    return parsed;
  }

  /**
   * Starts on free ports. Other starts of the same moment keep off what was claimed here; when another program takes one of them
   * between the choice and the child's own bind, everything is started once more on others.
   */
  async #onFreePorts<Started>(
    withGatewayPort: boolean,
    start: (ports: Record<string, number>) => Promise<Started>,
  ): Promise<{ ports: Record<string, number>; started: Started }> {
    const avoid = new Set<number>();
    for (let attempt = 1; ; attempt++) {
      const ports = await this.#choosePorts(withGatewayPort, avoid);
      Object.assign(this.#state.ports, ports);
      await this.#save();
      if (attempt === 1) this.#terminal.err(this.#terminal.errStyle.dim(`Starting on ${shownPath(this.#folder) || '.'} …`));
      try {
        // The agent binds its port much later than the others bind theirs.
        if (ports.gateway !== undefined) this.#gatewayPort = await holdPort(ports.gateway);
        return { ports, started: await start(ports) };
      } catch (error) {
        if (error instanceof Stopped || attempt === STARTS_MAX) throw error;
        await this.#gatewayPort?.release();
        await this.#stopChildren();
        const lost = await takenOf(ports);
        if (lost.length === 0) throw error;
        for (const port of lost) avoid.add(port);
        this.#say('yellow', `another program took port ${lost.join(', ')} in the same moment; starting on other ports`);
      }
    }
  }

  async #choosePorts(withGatewayPort: boolean, avoid: ReadonlySet<number>): Promise<Record<string, number>> {
    const { ports: kept } = this.#state;
    const wish = (name: string, preferred: number, demanded?: number, flag?: string) => ({
      name,
      preferred,
      ...(demanded === undefined ? {} : { demanded }),
      ...(flag === undefined ? {} : { flag }),
      ...(kept[name] === undefined ? {} : { kept: kept[name] }),
    });
    const wishes = [
      wish('console', 8420, this.#flags.consolePort, '--console-port'),
      wish('grpc', 8421, this.#flags.grpcPort, '--grpc-port'),
      wish('clickhouse', 8123, this.#flags.clickhousePort, '--clickhouse-port'),
      ...(this.#flags.demo ? [wish('database', PREFERRED_PORTS.database), wish('identityProvider', PREFERRED_PORTS.identityProvider)] : []),
      ...(withGatewayPort ? [wish('gateway', PREFERRED_PORTS.gateway)] : []),
    ];
    return choosePorts(wishes, this.#claims, avoid);
  }

  #demoPorts(): DemoPorts {
    const { database, identityProvider, gateway } = this.#state.ports;
    return {
      database: database ?? PREFERRED_PORTS.database,
      identityProvider: identityProvider ?? PREFERRED_PORTS.identityProvider,
      gateway: gateway ?? PREFERRED_PORTS.gateway,
    };
  }

  /** An address that a manifest demands and that is taken is found now, not by an agent that cannot bind later. */
  async #checkListenAddresses(manifests: readonly Manifest[]): Promise<void> {
    for (const manifest of manifests) {
      if (manifest.kind !== 'Resource') continue;
      const { listen } = (manifest as Manifest<'Resource'>).spec;
      if (listen === undefined) continue;
      const colon = listen.lastIndexOf(':');
      const host = listen.slice(0, colon).replace(/^\[|\]$/g, '');
      if (await isFree(host, Number(listen.slice(colon + 1)))) continue;
      throw new GatewayError(
        'PORT_TAKEN',
        'conflict',
        `resource ${manifest.name} is to listen on ${listen}, which is in use by another program (or no address of this machine). Change spec.listen or stop that program.`,
      );
    }
  }

  async #startChild(plan: ChildPlan, title: string): Promise<ReadyLine> {
    this.#checkStop();
    const startedAt = Date.now();
    const child = new Child(plan, path.join(this.#folder, 'logs'), {
      started: (name, pid) => this.#keep(this.#onStarted(name, pid)),
      ready: (name, line) => this.#onReadyAgain(name, line),
      died: (name, how) => this.#say('yellow', `${name} stopped (${how}); starting it again`),
      looping: (name, why) =>
        this.#say(
          'red',
          `${name} keeps stopping: ${why}. It is tried again every few seconds; see ${path.join(this.#folder, 'logs', `${name}.log`)}`,
        ),
    });
    this.#children.push(child);
    const line = await Promise.race([child.start(), this.#stop.asked.then(() => Promise.reject(new Stopped()))]);
    const { dim, green } = this.#terminal.errStyle;
    this.#terminal.err(`  ${green('✓')} ${title.padEnd(26)}${dim(`${((Date.now() - startedAt) / 1000).toFixed(1)} s`)}`);
    return line;
  }

  async #startSampleDatabase(): Promise<ReadyLine> {
    const { database, identityProvider } = this.#demoPorts();
    const folder = path.join(this.#demoFolder, 'postgres');
    const line = await this.#startChild(sampleDatabasePlan(folder, database), 'sample database');
    await fillSamplePostgres(await samplePostgres(folder), database);
    await saveDemo(this.#folder, { issuer: `http://127.0.0.1:${identityProvider}`, databasePort: database });
    return line;
  }

  /** What the sample manifests read from the environment, unless the user has set it. */
  async #demoCredentials(): Promise<Record<string, string>> {
    if (this.#terminal.env[SAMPLE_PASSWORD_VARIABLE]) return {};
    const { passwords } = await samplePostgres(path.join(this.#demoFolder, 'postgres'));
    return { [SAMPLE_PASSWORD_VARIABLE]: passwords.application };
  }

  get #demoFolder(): string {
    return path.join(this.#folder, 'demo');
  }

  async #onStarted(name: string, pid: number): Promise<void> {
    this.#state.processes[name] = { pid, startedAt: (await processStart(pid)) ?? '' };
    await this.#save();
    if (this.#endpoints) await this.#writeEndpoints();
  }

  /** Bookkeeping beside the children's lives: a full disk must not end them. */
  #keep(work: Promise<void>): void {
    work.catch((error: unknown) => this.#say('red', `the data folder cannot be written: ${errorText(error)}`));
  }

  #onReadyAgain(name: string, line: ReadyLine): void {
    if (name === NAMES.controlPlane && this.#endpoints) {
      this.#controlPlane = line;
      this.#endpoints.adminToken = String(line.adminToken);
      this.#keep(this.#writeEndpoints());
    }
    this.#say('green', `${name} is back`);
  }

  #say(color: 'green' | 'yellow' | 'red', text: string): void {
    const time = new Date().toISOString().slice(11, 19);
    this.#terminal.err(`${this.#terminal.errStyle.dim(time)} ${this.#terminal.errStyle[color](text)}`);
  }

  /** The folder is the truth about what came from it: what has left it since the last start is deleted first. */
  async #apply(files: readonly ManifestFile[], manifests: readonly Manifest[]): Promise<void> {
    if (files.length === 0) return;
    this.#checkStop();
    const applied = manifests.map(({ kind, name }) => `${kind}/${name}`);
    const gone = this.#state.applied.filter(each => !applied.includes(each));
    for (const each of gone.sort((a, b) => deletionRank(a) - deletionRank(b))) {
      try {
        await this.#request('DELETE', `/v1/manifests/${each}`);
        this.#terminal.err(`  ${this.#terminal.errStyle.yellow('-')} ${each} deleted: it is no longer in the manifests`);
      } catch (error) {
        if (!(error instanceof GatewayError && error.kind === 'notFound')) throw error;
      }
    }
    await this.#request('POST', '/v1/apply', { manifests: files.map(({ path: file, text }) => ({ file, text })) });
    this.#state.applied = applied;
    await this.#save();
  }

  async #invite(): Promise<string> {
    const answer = (await this.#request('POST', '/v1/agents/invitations', { everyResource: true })) as { token: string };
    return answer.token;
  }

  async #request(method: string, resource: string, body?: unknown): Promise<unknown> {
    const { http, adminToken } = this.#controlPlane;
    return requestJson({ url: String(http), token: String(adminToken) }, method, resource, body);
  }

  /** Waits until every resource is listened for, and says where. */
  async #untilServed(manifests: readonly Manifest[]): Promise<Record<string, string>> {
    const wanted = new Set(manifests.filter(({ kind }) => kind === 'Resource').map(({ name }) => name));
    const deadline = Date.now() + SERVING_TIMEOUT_MS;
    for (;;) {
      this.#checkStop();
      const { resources } = (await this.#request('GET', '/v1/resources')) as { resources: ServedResource[] };
      const served = servedAddresses(resources);
      const missing = [...wanted].filter(name => served[name] === undefined);
      if (missing.length === 0) return served;
      if (Date.now() > deadline) {
        const reasons = resources.flatMap(({ name, problems }) => (missing.includes(name) ? problems.map(({ reason }) => reason) : []));
        throw new GatewayError(
          'RESOURCE_NOT_SERVED',
          'unavailable',
          `no agent listens for ${missing.join(', ')} after ${SERVING_TIMEOUT_MS / 1000} s${reasons.length > 0 ? `: ${reasons.join('; ')}` : ''}. The log is ${path.join(this.#folder, 'logs', 'agent.log')}`,
        );
      }
      await new Promise(resolve => setTimeout(resolve, 150));
    }
  }

  async #writeEndpoints(): Promise<void> {
    const endpoints = this.#endpoints;
    if (!endpoints) return;
    this.#writing = this.#writing
      .catch(() => {}) // whoever waited for that one has seen it
      .then(async () => {
        endpoints.pids = Object.fromEntries(this.#children.flatMap(child => (child.pid === undefined ? [] : [[child.name, child.pid]])));
        await writeEndpoints(this.#folder, endpoints);
      });
    await this.#writing;
  }

  #checkStop(): void {
    if (this.#stop.isAsked()) throw new Stopped();
  }

  async #stopChildren(): Promise<void> {
    const deadline = Date.now() + STOP_MS;
    for (const child of [...this.#children].reverse()) {
      await child.stop(Math.max(200, Math.min(4_000, deadline - Date.now())));
    }
    this.#children.length = 0;
  }

  /** The reverse of the start: who depends on another stops before it. */
  async #shutDown(): Promise<void> {
    if (this.#children.length > 0 && this.#endpoints) this.#terminal.err(this.#terminal.errStyle.dim('Stopping …'));
    const force = () => {
      for (const child of this.#children) child.kill();
    };
    this.#stop.onForce(force);
    await this.#gatewayPort?.release();
    await this.#stopChildren();
    this.#claims.release();
    this.#endpoints = undefined;
    await this.#writing.catch(() => {}); // Whoever wrote was told; the file goes now.
    await removeEndpoints(this.#folder);
    for (const { pid, startedAt } of Object.values(this.#state.processes)) {
      if (startedAt !== '' && (await processStart(pid)) === startedAt) signalGroup(pid, 'SIGKILL');
    }
    this.#state.processes = {};
    await this.#save().catch((error: unknown) => this.#say('yellow', `the state could not be saved: ${errorText(error)}`));
  }
}

interface ServedResource {
  name: string;
  address?: string;
  problems: { reason: string }[];
}

/** name → host:port; resources that nobody serves yet are left out. */
function servedAddresses(resources: readonly ServedResource[]): Record<string, string> {
  return Object.fromEntries(resources.flatMap(({ name, address }) => (address === undefined ? [] : [[name, address]])));
}

/** Who grants and who refers goes before what is granted and referred to. */
function deletionRank(manifest: string): number {
  return manifest.startsWith('Role/') ? 0 : manifest.startsWith('Resource/') ? 1 : 2;
}
