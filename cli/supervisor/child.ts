/**
 * One child process of `sallyport up`: started, watched until it says that it is ready, started again when it dies, stopped.
 *
 * The contract with a child: its standard input is held open by us (its end means that we are gone), it prints one JSON line
 * on standard output when it is ready, or `{"error":{"code","message"}}` and exits; everything else it has to say goes to
 * standard error, which is its log file. It has a process group of its own, so that a Ctrl-C in the terminal reaches only us
 * and the order of stopping stays ours.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { type FileHandle, mkdir, open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';

/** How to start it once more; asked anew for every start. */
export interface Launch {
  command: string;
  args: string[];
  env: Record<string, string | undefined>;
  workingFolder?: string;
  user?: { uid: number; gid: number };
}

export interface ChildPlan {
  /** Its name in `pids`, in messages and of its log file. */
  name: string;
  launch: () => Promise<Launch>;
  /** For a program that prints no ready line: true once it can be used. Asked until then. */
  answers?: () => Promise<boolean>;
  /** The signal that asks it to stop; SIGTERM by default. */
  stopSignal?: NodeJS.Signals;
  /** A program that does not watch its standard input: a small companion does it for it. */
  foreign?: boolean;
}

export type ReadyLine = Readonly<Record<string, unknown>>;

type State = 'stopped' | 'starting' | 'ready' | 'waiting' | 'stopping';

/** From which state it may go where. `waiting` is the time before the next attempt. */
const MOVES: Readonly<Record<State, readonly State[]>> = {
  stopped: ['starting'],
  starting: ['ready', 'waiting', 'stopping', 'stopped'],
  ready: ['waiting', 'stopping'],
  waiting: ['starting', 'stopped'],
  stopping: ['stopped'],
};

export interface ChildEvents {
  /** A process runs under this id from now on; it is not ready yet. */
  started(name: string, pid: number): void;
  /** Ready for the first time or again. */
  ready(name: string, line: ReadyLine): void;
  /** Died on its own, after it had been ready once; it is started again. */
  died(name: string, how: string): void;
  /** Died LOOP_DEATHS times in a row; said once per loop. Attempts go on. */
  looping(name: string, why: string): void;
}

/** Of a slow machine that starts several installations at once. */
const READY_TIMEOUT_MS = 180_000;
const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 5_000;
/** A child that was ready this long has earned a fresh start of the backoff. */
const STEADY_MS = 20_000;
const LOOP_DEATHS = 5;

export class Child {
  readonly name: string;
  readonly #plan: ChildPlan;
  readonly #logFile: string;
  readonly #events: ChildEvents;
  #state: State = 'stopped';
  #process: ChildProcess | undefined;
  #companion: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;
  #deaths = 0;
  #readyAt = 0;
  /** The last `{"error"}` that it printed. */
  #lastError: string | undefined;

  constructor(plan: ChildPlan, logFolder: string, events: ChildEvents) {
    this.name = plan.name;
    this.#plan = plan;
    this.#logFile = path.join(logFolder, `${plan.name}.log`);
    this.#events = events;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get isReady(): boolean {
    return this.#state === 'ready';
  }

  /**
   * The first start. Later ones happen by themselves.
   * @returns its ready line.
   * @throws {GatewayError} CHILD_FAILED with the child's own words, when it does not become ready. It is not tried again then.
   */
  async start(): Promise<ReadyLine> {
    this.#move('starting');
    try {
      return await this.#attempt();
    } catch (error) {
      if (this.#is('starting')) this.#move('stopping');
      await this.#end(2_000);
      throw error;
    }
  }

  /** Asks it to stop and, after `graceMs`, ends its whole process group. Resolves when it is gone. */
  async stop(graceMs: number): Promise<void> {
    clearTimeout(this.#retry);
    if (this.#is('stopped')) return;
    if (this.#is('waiting')) {
      this.#move('stopped');
      return;
    }
    if (!this.#is('stopping')) this.#move('stopping');
    await this.#end(graceMs);
  }

  /** Ends it at once. */
  kill(): void {
    signalGroup(this.#process?.pid, 'SIGKILL');
  }

  #is(state: State): boolean {
    return this.#state === state;
  }

  #move(to: State): void {
    if (!MOVES[this.#state].includes(to)) throw new GatewayError('CHILD_STATE', 'internal', `${this.name}: ${this.#state} → ${to}`);
    this.#state = to;
  }

  /** Starts a process and waits until it is ready. */
  async #attempt(): Promise<ReadyLine> {
    const launch = await this.#plan.launch();
    const log = await openLog(this.#logFile);
    if (!this.#is('starting')) {
      await log.close();
      throw new GatewayError('CHILD_STOPPED', 'unavailable', `${this.name} was stopped before it had started`);
    }
    this.#lastError = undefined;
    const child = spawn(launch.command, launch.args, {
      stdio: ['pipe', 'pipe', log.fd],
      detached: true,
      env: launch.env,
      ...(launch.workingFolder === undefined ? {} : { cwd: launch.workingFolder }),
      ...launch.user,
    });
    this.#process = child;
    const line = this.#readyLine(child);
    let announceExit: (how: string) => void = () => {};
    const exit = new Promise<string>(resolve => {
      announceExit = resolve;
    });
    this.#exited = exit.then(() => {});
    child.once('error', error => announceExit(`it cannot be run: ${errorText(error)}`));
    // `close`, not `exit`: only then has everything that it printed been read.
    child.once('close', (code, signal) => announceExit(signal ? `ended by ${signal}` : `exit code ${code}`));
    child.stdin?.on('error', () => {}); // it is gone; its exit says so
    if (child.pid !== undefined) {
      this.#events.started(this.name, child.pid);
      if (this.#plan.foreign) this.#companion = companionOf(child.pid, this.#plan.stopSignal ?? 'SIGTERM');
    }

    await log.close(); // the child has its own copy
    let timeout: NodeJS.Timeout | undefined;
    const outcome = await Promise.race([
      this.#plan.answers ? this.#untilAnswering(child, this.#plan.answers) : line,
      exit.then(how => ({ failed: how })),
      new Promise<{ failed: string }>(resolve => {
        timeout = setTimeout(() => resolve({ failed: `it was not ready after ${READY_TIMEOUT_MS / 1000} s` }), READY_TIMEOUT_MS);
      }),
    ]);
    clearTimeout(timeout);
    if ('failed' in outcome && typeof outcome.failed === 'string') {
      throw new GatewayError('CHILD_FAILED', 'unavailable', await this.#failure(outcome.failed));
    }
    this.#move('ready');
    this.#readyAt = Date.now();
    void exit.then(how => this.#onDeath(child, how));
    return outcome as ReadyLine;
  }

  /** Resolves with the first JSON line that says ready; keeps the last error line. Never rejects. */
  #readyLine(child: ChildProcess): Promise<ReadyLine> {
    return new Promise(resolve => {
      if (!child.stdout) return;
      createInterface({ input: child.stdout }).on('line', text => {
        const line = parseLine(text);
        if (line?.ready === true) resolve(line);
        const error = line?.error as { message?: unknown } | undefined;
        if (typeof error?.message === 'string') this.#lastError = error.message;
      });
    });
  }

  async #untilAnswering(child: ChildProcess, answers: () => Promise<boolean>): Promise<ReadyLine> {
    child.stdout?.resume();
    while (child.exitCode === null && child.signalCode === null) {
      if (await answers()) return { ready: true };
      await pause(100);
    }
    return new Promise(() => {}); // the exit is reported by the other arm of the race
  }

  #onDeath(child: ChildProcess, how: string): void {
    this.#companion?.kill('SIGKILL');
    if (child !== this.#process || this.#is('stopping') || this.#is('stopped')) return;
    signalGroup(child.pid, 'SIGKILL'); // what it has started itself
    this.#deaths = Date.now() - this.#readyAt > STEADY_MS ? 1 : this.#deaths + 1;
    this.#move('waiting');
    this.#events.died(this.name, how);
    this.#again(how);
  }

  #again(why: string): void {
    if (this.#deaths === LOOP_DEATHS) this.#events.looping(this.name, why);
    this.#retry = setTimeout(
      () => {
        if (!this.#is('waiting')) return;
        this.#move('starting');
        this.#attempt().then(
          line => this.#events.ready(this.name, line),
          async (error: unknown) => {
            await this.#killAttempt();
            if (!this.#is('starting')) return;
            this.#deaths += 1;
            this.#move('waiting');
            this.#again(errorText(error));
          },
        );
      },
      Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.max(0, this.#deaths - 1)),
    );
  }

  async #killAttempt(): Promise<void> {
    this.#companion?.kill('SIGKILL');
    signalGroup(this.#process?.pid, 'SIGKILL');
    await this.#exited;
  }

  async #end(graceMs: number): Promise<void> {
    const child = this.#process;
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) child.kill(this.#plan.stopSignal ?? 'SIGTERM');
    const gone = await Promise.race([this.#exited.then(() => true), pause(graceMs).then(() => false)]);
    if (!gone || child) signalGroup(child?.pid, 'SIGKILL');
    if (!gone) await this.#exited;
    this.#companion?.kill('SIGKILL');
    if (!this.#is('stopped')) this.#move('stopped');
  }

  /** One line: what happened, in the child's own words when it had any, and where to read more. */
  async #failure(how: string): Promise<string> {
    if (this.#lastError) return this.#lastError;
    const last = lastMessage(await readFile(this.#logFile, 'utf8').catch(() => ''));
    return `${this.name} could not start: ${how}${last ? ` (${last})` : ''}. Its log is ${this.#logFile}`;
  }
}

/** Appends to the log, which only its owner may read; one earlier one is kept once it has grown large. */
async function openLog(file: string): Promise<FileHandle> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  const log = await open(file, 'a', 0o600);
  if ((await log.stat()).size < 20_000_000) return log;
  await log.close();
  const { rename } = await import('node:fs/promises');
  await rename(file, `${file}.1`);
  return open(file, 'a', 0o600);
}

/** A shell that waits for the end of its input, which is our own end, and then ends `pid`. */
function companionOf(pid: number, signal: NodeJS.Signals): ChildProcess {
  const watcher = spawn('/bin/sh', ['-c', 'cat >/dev/null; kill -"$1" "$2"', 'sh', signal.replace(/^SIG/, ''), String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  watcher.on('error', () => {}); // without a shell, the next start finds and ends what was left behind
  watcher.stdin?.on('error', () => {});
  return watcher;
}

/** Signals a process group whose leader may be gone already. */
export function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined || pid <= 1) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

function parseLine(text: string): Record<string, unknown> | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** The last thing that a log says: a JSON line's message, the headline of an uncaught error, or else the last plain line. */
export function lastMessage(log: string): string {
  const lines = log.slice(-20_000).trimEnd().split('\n').slice(-60).reverse();
  const last = parseLine(lines[0] ?? '')?.msg;
  if (typeof last === 'string') return last.slice(0, 300);
  const headline = lines.find(text => /^(Uncaught )?\w*Error( \[\w+\])?: /.test(text));
  return (headline ?? lines[0] ?? '').trim().slice(0, 300);
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms).unref());
}
