/**
 * The few instructions of WebAssembly that pass.ts is written in, and the binary format of a module.
 *
 * An instruction is the bytes that leave its result on the stack; they nest as the expressions they stand for. It knows nothing of
 * types: WebAssembly validates the module when it is compiled.
 *
 * @see https://webassembly.github.io/spec/core/binary/
 */

export type Code = readonly number[];

export const I32 = 0x7f;
const VOID = 0x40;
const V128 = 0xfd;

/** Signed LEB128, which the binary format has for constants. */
function signed(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; ) {
    const low = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}

/** Unsigned LEB128: lengths, indices, offsets. */
export function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

export const constant = (value: number): Code => [0x41, ...signed(value)];
export const get = (local: number): Code => [0x20, local];
export const set = (local: number, ...value: Code[]): Code => [...value.flat(), 0x21, local];
export const global = (index: number): Code => [0x23, index];

const binary =
  (opcode: number) =>
  (a: Code, b: Code): Code => [...a, ...b, opcode];
export const add = binary(0x6a);
export const subtract = binary(0x6b);
export const multiply = binary(0x6c);
export const and = binary(0x71);
export const or = binary(0x72);
export const xor = binary(0x73);
export const shl = binary(0x74);
export const shr = binary(0x76);
export const equal = binary(0x46);
/** Comparisons of unsigned numbers. */
export const lessThan = binary(0x49);
export const atMost = binary(0x4d);
export const atLeast = binary(0x4f);
export const isZero = (value: Code): Code => [...value, 0x45];
/** Number of the lowest set bit; 32 for zero. */
export const lowestBit = (value: Code): Code => [...value, 0x68];

/** Loads and stores: the address, and a fixed offset to it. */
export const load = (address: Code, offset: number): Code => [...address, 0x28, 0, ...unsigned(offset)];
export const load8 = (address: Code, offset: number): Code => [...address, 0x2d, 0, ...unsigned(offset)];
export const load16 = (address: Code, offset: number): Code => [...address, 0x2f, 0, ...unsigned(offset)];
export const store = (address: Code, value: Code, offset: number): Code => [...address, ...value, 0x36, 0, ...unsigned(offset)];

/** A bit for each of the sixteen bytes at an address that are `byte`. */
export const bytesEqual = (address: Code, offset: number, byte: number): Code => [
  ...[...address, V128, 0x00, 0, ...unsigned(offset)],
  ...[...constant(byte), V128, 0x0f],
  ...[V128, 0x23, V128, 0x64],
];

export const when = (condition: Code, ...then: Code[]): Code => [...condition, 0x04, VOID, ...then.flat(), 0x0b];
export const loopWhile = (condition: Code, ...body: Code[]): Code => [0x03, VOID, ...body.flat(), ...condition, 0x0d, 0, 0x0b];
export const finish = (value: Code): Code => [...value, 0x0f];
export const call = (index: number, ...values: Code[]): Code => [...values.flat(), 0x10, index];

/** A function of numbers: how many it takes, how many more it keeps, and its instructions. It returns one. */
export interface Procedure {
  parameters: number;
  locals: number;
  body: Code;
}

/** A module that imports a memory and one number as `names`, and exports the last of its procedures as `run`. */
export function assembleModule(
  procedures: readonly Procedure[],
  names: { from: string; memory: string; number: string },
): Uint8Array<ArrayBuffer> {
  const section = (id: number, ...content: Code[]): Code => [id, ...unsigned(content.flat().length), ...content.flat()];
  const name = (text: string): Code => [text.length, ...Array.from(text, character => character.charCodeAt(0))];
  const count = unsigned(procedures.length);
  const types = procedures.map(({ parameters }) => [0x60, parameters, ...new Array<number>(parameters).fill(I32), 1, I32]);
  const codes = procedures.map(({ locals, body }) => {
    const code: Code = [1, locals, I32, ...body, 0x0b];
    return [...unsigned(code.length), ...code];
  });
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, count, ...types),
    ...section(2, [2], name(names.from), name(names.memory), [2, 0, 1], name(names.from), name(names.number), [3, I32, 0]),
    ...section(
      3,
      count,
      procedures.map((_, index) => index),
    ),
    ...section(7, [1], name('run'), [0, procedures.length - 1]),
    ...section(10, count, ...codes),
  ]);
}
