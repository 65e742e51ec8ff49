/** OpenSSH's client as people run it, against an agent or a host: what it prints, and how it ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export interface SshRun {
  stdout: Buffer;
  stderr: string;
  /** null: ended by a signal, or by the limit of time. */
  code: number | null;
}

export interface RunOptions {
  input?: Buffer | string;
  limitMs?: number;
  env?: Record<string, string>;
  cwd?: string;
  /** Called with the process once it runs. */
  started?: (child: ChildProcess) => void;
}

/** Runs a program to its end. */
export function runProgram(program: string, args: readonly string[], options: RunOptions = {}): Promise<SshRun> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...options.env }, cwd: options.cwd });
  const stdout: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdin.on('error', () => undefined); // it may end without reading all
  child.stdin.end(options.input ?? '');
  options.started?.(child);
  const late = setTimeout(() => child.kill('SIGKILL'), options.limitMs ?? 180_000);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', code => {
      clearTimeout(late);
      resolve({ stdout: Buffer.concat(stdout), stderr, code });
    });
  });
}

/** Options of OpenSSH's tools that know this one host key and no file of the person who runs the test. */
export function clientOptions(knownHosts: string): string[] {
  const options = [
    'StrictHostKeyChecking=yes',
    `UserKnownHostsFile=${knownHosts}`,
    'GlobalKnownHostsFile=/dev/null',
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    'LogLevel=ERROR',
    'ConnectTimeout=30',
  ];
  return ['-F', '/dev/null', ...options.flatMap(option => ['-o', option])];
}

/** A known_hosts file with one line. */
export function knownHostsFile(line: string): string {
  const file = path.join(mkdtempSync(path.join(os.tmpdir(), 'sallyport-known-')), 'known_hosts');
  writeFileSync(file, `${line}\n`);
  return file;
}

/** A program and arguments that type `password` when the client asks. The password is in the environment, never an argument. */
export function withPassword(
  password: string,
  program: string,
  args: readonly string[],
): { program: string; args: string[]; env: Record<string, string> } {
  return {
    program: 'sshpass',
    args: ['-e', program, '-o', 'PreferredAuthentications=password', '-o', 'PubkeyAuthentication=no', ...args],
    env: { SSHPASS: password },
  };
}
