/**
 * The filter of fingerprints (known-credentials.ts) over every position of a text, as WebAssembly: eight bytes are hashed, and where
 * the bit of the hash is set the position is reported. It confirms nothing.
 *
 * The module is assembled here from its instructions (assembler.ts); no tool and no file is needed.
 */
import {
  add,
  and,
  assembleModule,
  type Code,
  constant,
  get,
  lessThan,
  load,
  load8,
  loopWhile,
  multiply,
  type Procedure,
  set,
  shr,
  store,
  when,
  xor,
} from './assembler.ts';

/** Bytes that a hash is of. */
export const WINDOW = 8;
/** Positions that one call takes, four at a time. */
export const POSITIONS_MAX = 32_768;
/** 2^18 bits over the upper bits of the hash: 32 KiB, so that they stay near the processor. */
export const FILTER_BYTES = 1 << 15;

/** Mixes the lower and the upper half of the window, each with its half of the key. */
export const FACTOR_LOW = 0x9e3779b1 | 0;
export const FACTOR_HIGH = 0x85ebca6b | 0;
export const FACTOR_LAST = 0x2c1b3c6d;
/** Of the hash: the filter's bit is its upper 18 bits. */
export const BIT_SHIFT = 14;

const BITS_AT = 0;
const TEXT_AT = BITS_AT + FILTER_BYTES;
/** Behind the last window, for positions that are looked at because four are looked at together. */
const BEHIND_BYTES = 16;
const REPORTS_AT = TEXT_AT + POSITIONS_MAX + BEHIND_BYTES;
const MEMORY_BYTES = REPORTS_AT + POSITIONS_MAX * 4;
const PAGE = 65_536;
const AT_ONCE = 4;

/** One filter, and the loop over it. */
export interface FingerprintPass {
  /** The caller sets the bits. */
  bits: Uint8Array;
  /** POSITIONS_MAX + WINDOW bytes of text and what follows it. */
  text: Uint8Array;
  /** Positions that the last call has reported, in order. */
  reports: Int32Array;
  /** Over the first `positions` positions, and up to three behind them; returns the number of reports. */
  run: (this: void, positions: number, keyLow: number, keyHigh: number) => number;
}

/** The part of WebAssembly's interface that is used here; its types come with those of browsers only. */
interface WebAssemblyInterface {
  Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer };
  Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  Instance: new (module: object, imports: Record<string, Record<string, unknown>>) => { readonly exports: Record<string, unknown> };
}

let compiled: object | undefined;

export function createFingerprintPass(): FingerprintPass {
  const { WebAssembly: wasm } = globalThis as unknown as { WebAssembly: WebAssemblyInterface };
  const memory = new wasm.Memory({ initial: Math.ceil(MEMORY_BYTES / PAGE) });
  compiled ??= new wasm.Module(assembleModule([run()], { from: 'pass', memory: 'memory', number: 'unused' }));
  const { exports } = new wasm.Instance(compiled, { pass: { memory, unused: 0 } });
  const { buffer } = memory;
  return {
    bits: new Uint8Array(buffer, BITS_AT, FILTER_BYTES),
    text: new Uint8Array(buffer, TEXT_AT, POSITIONS_MAX + BEHIND_BYTES),
    reports: new Int32Array(buffer, REPORTS_AT, POSITIONS_MAX),
    run: exports['run'] as FingerprintPass['run'],
  };
}

function run(): Procedure {
  const [end, keyLow, keyHigh, at, out, hash] = [0, 1, 2, 3, 4, 5];
  const half = (offset: number, key: number, factor: number): Code =>
    multiply(xor(load(get(at), TEXT_AT + offset), get(key)), constant(factor));
  const position = (offset: number): Code => [
    ...set(hash, xor(half(offset, keyLow, FACTOR_LOW), half(offset + 4, keyHigh, FACTOR_HIGH))),
    ...set(hash, multiply(xor(get(hash), shr(get(hash), constant(15))), constant(FACTOR_LAST))),
    ...when(
      and(shr(load8(shr(get(hash), constant(BIT_SHIFT + 3)), BITS_AT), and(shr(get(hash), constant(BIT_SHIFT)), constant(7))), constant(1)),
      store(get(out), add(get(at), constant(offset)), REPORTS_AT),
      set(out, add(get(out), constant(4))),
    ),
  ];
  const body: Code = [
    ...loopWhile(
      lessThan(get(at), get(end)),
      ...Array.from({ length: AT_ONCE }, (_, offset) => position(offset)),
      set(at, add(get(at), constant(AT_ONCE))),
    ),
    ...shr(get(out), constant(2)),
  ];
  return { parameters: 3, locals: 3, body };
}
