/**
 * Shuts the calling thread, and every thread that it starts later, into a few folders and ports (Linux Landlock).
 *
 * Grants keep a database user from table functions such as `file()` and `url()`, but the engine, built to be used by its owner, also
 * has scalar functions, schemas and settings that read any file which the process may read. The kernel does not care by what way.
 * The main thread stays as it is. What is not here: other platforms; there, `confineThread` says that it cannot.
 */

import { DynamicLibrary, getRawPointer } from 'node:ffi';
import { closeSync, openSync, statSync } from 'node:fs';
import { GatewayError } from '@sallyport/shared/errors.ts';

export interface Confinement {
  /** Everything below these may be read, written, made and removed. */
  writable: readonly string[];
  /** As `writable`, but nothing below these may be read back. */
  writeOnly: readonly string[];
  /** Everything below these, or the file itself, may be read; those that do not exist are passed over. */
  readable: readonly string[];
  /** TCP ports that may be connected to; none other. */
  connectPorts: readonly number[];
  /** TCP ports that may be listened on; 0 stands for those that the kernel chooses. */
  bindPorts: readonly number[];
}

/** @see https://docs.kernel.org/userspace-api/landlock.html and linux/landlock.h */
const syscalls = { createRuleset: 444n, addRule: 445n, restrictSelf: 446n };
const versionFlag = 1n;
const rulePathBeneath = 1n;
const ruleNetPort = 2n;
const bindTcp = 1n;
const connectTcp = 2n;
const executeFile = 1n << 0n;
const readFile = 1n << 2n;
const readDir = 1n << 3n;
const prSetNoNewPrivs = 38;
const openPathOnly = 0o10000000;
/** The first with which files can be moved between folders, which the engine does. Linux 5.19. */
const abiNeeded = 2n;

/** Rights on files that each version of the interface knows, cumulative. */
function fileRights(abi: bigint): bigint {
  if (abi >= 5n) return (1n << 16n) - 1n;
  if (abi >= 3n) return (1n << 15n) - 1n;
  return (1n << 14n) - 1n;
}

/** Whether this kernel can. */
export function canConfine(): boolean {
  return process.platform === 'linux' && openKernel().call(syscalls.createRuleset, 0n, 0n, versionFlag) >= abiNeeded;
}

function openKernel() {
  const libc = new DynamicLibrary(null);
  // syscall(2) takes a variable list; all its arguments are register-sized integers, which is how they are passed here.
  const syscall = libc.getFunction('syscall', { return: 'i64', arguments: ['i64', 'u64', 'u64', 'u64', 'u64'] });
  const prctl = libc.getFunction('prctl', { return: 'i32', arguments: ['i32', 'u64', 'u64', 'u64', 'u64'] });
  return {
    call: (number: bigint, a: bigint, b: bigint, c: bigint, d = 0n): bigint => syscall(number, a, b, c, d),
    noNewPrivileges: (): boolean => prctl(prSetNoNewPrivs, 1n, 0n, 0n, 0n) === 0,
  };
}

/**
 * Confines the calling thread for good. Nothing undoes it.
 * @throws {GatewayError} STORE_CONFINEMENT_FAILED: the thread may be partly prepared, but is not confined.
 */
export function confineThread(rules: Confinement): void {
  const kernel = openKernel();
  const abi = kernel.call(syscalls.createRuleset, 0n, 0n, versionFlag);
  if (abi < abiNeeded) throw failed('this kernel has no Landlock of version 2 or later');
  const rights = fileRights(abi);
  const withNetwork = abi >= 4n;
  const attributes = Buffer.alloc(withNetwork ? 16 : 8);
  attributes.writeBigUInt64LE(rights, 0);
  if (withNetwork) attributes.writeBigUInt64LE(bindTcp | connectTcp, 8);
  const ruleset = kernel.call(syscalls.createRuleset, getRawPointer(attributes), BigInt(attributes.length), 0n);
  if (ruleset < 0n) throw failed('the kernel refused the rule set');
  const add = (kind: bigint, rule: Buffer): void => {
    if (kernel.call(syscalls.addRule, ruleset, kind, getRawPointer(rule), 0n) !== 0n) throw failed('the kernel refused a rule');
  };
  const addPath = (path: string, allowed: bigint): void => {
    const file = openSync(path, openPathOnly);
    const rule = Buffer.alloc(12);
    rule.writeBigUInt64LE(allowed, 0);
    rule.writeInt32LE(file, 8);
    try {
      add(rulePathBeneath, rule);
    } finally {
      closeSync(file);
    }
  };
  const addPort = (port: number, allowed: bigint): void => {
    const rule = Buffer.alloc(16);
    rule.writeBigUInt64LE(allowed, 0);
    rule.writeBigUInt64LE(BigInt(port), 8);
    add(ruleNetPort, rule);
  };
  for (const path of rules.writable) addPath(path, rights & ~executeFile);
  for (const path of rules.writeOnly) addPath(path, rights & ~(executeFile | readFile));
  for (const path of rules.readable) {
    const isFolder = isDirectory(path);
    if (isFolder !== null) addPath(path, isFolder ? readFile | readDir : readFile);
  }
  if (withNetwork) {
    for (const port of rules.connectPorts) addPort(port, connectTcp);
    for (const port of rules.bindPorts) addPort(port, bindTcp);
  }
  if (!kernel.noNewPrivileges() || kernel.call(syscalls.restrictSelf, ruleset, 0n, 0n) !== 0n)
    throw failed('the kernel refused to apply it');
  closeSync(Number(ruleset));
}

/** null: there is no such thing. */
function isDirectory(path: string): boolean | null {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? null;
}

function failed(why: string): GatewayError {
  return new GatewayError('STORE_CONFINEMENT_FAILED', 'unavailable', `The engine could not be confined to its folder: ${why}.`);
}
