/**
 * Rewrites DataRow frames in place of the wire: walks a row's columns, and copies it to the output only when a value of it
 * changes. One output buffer per chunk; no object for a row or for a value that no rule touches.
 *
 * @see https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-DATAROW
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { readInt32, readUint16, writeInt32 } from '@sallyport/shared/wire/bytes.ts';
import type { CommandRun } from './command-run.ts';
import { maskValue, scanValue } from './mask-value.ts';
import { Action, type RowPlan } from './row-plan.ts';

/** Collects what a chunk becomes once something in it changes. */
export class Output {
  buffer: Buffer = Buffer.alloc(0);
  length = 0;

  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed + (needed >> 1), 4096));
    this.buffer.copy(grown, 0, 0, this.length);
    this.buffer = grown;
  }

  copy(source: Buffer, start: number, end: number): void {
    if (end <= start) return;
    this.reserve(end - start);
    source.copy(this.buffer, this.length, start, end);
    this.length += end - start;
  }

  bytes(source: Uint8Array): void {
    this.reserve(source.length);
    this.buffer.set(source, this.length);
    this.length += source.length;
  }

  int32(value: number): void {
    this.reserve(4);
    writeInt32(this.buffer, this.length, value);
    this.length += 4;
  }

  /** The bytes so far; the next chunk gets a buffer of its own. */
  take(): Buffer {
    const taken = this.buffer.subarray(0, this.length);
    this.buffer = Buffer.alloc(0);
    this.length = 0;
    return taken;
  }
}

function malformed(): GatewayError {
  return new GatewayError('PG_UPSTREAM_PROTOCOL', 'protocol', 'the database sent a malformed DataRow');
}

/**
 * Handles one DataRow frame, `buffer[start, end)` with type and length.
 *
 * @returns false when the row may pass as it is; true when its replacement was appended to `output`.
 * @throws {GatewayError} PG_UPSTREAM_PROTOCOL when the row does not have the shape that was announced.
 */
export function rewriteRow(buffer: Buffer, start: number, end: number, plan: RowPlan, run: CommandRun, output: Output): boolean {
  const { actions } = plan;
  const count = actions.length;
  if (end - start < 7 || readUint16(buffer, start + 5) !== count) throw malformed();
  const outStart = output.length;
  let copied = start;
  let changed = false;
  let at = start + 7;
  for (let i = 0; i < count; i++) {
    if (at + 4 > end) throw malformed();
    const length = readInt32(buffer, at);
    const valueStart = at + 4;
    if (length === -1) {
      at = valueStart;
      continue;
    }
    const valueEnd = valueStart + length;
    if (length < 0 || valueEnd > end) throw malformed();
    const action = actions[i];
    if (action !== Action.Pass) {
      let value: Uint8Array | null | undefined;
      if (action === Action.Mask) {
        const mask = plan.masks[i];
        if (mask === undefined || mask === null) throw malformed();
        value = maskValue(mask, buffer, valueStart, valueEnd);
        run.maskedValues++;
        run.classify(plan.dataClasses[i] as string);
      } else {
        const scan = plan.scans[i];
        if (scan === undefined || scan === null) throw malformed();
        const finding = scanValue(scan, buffer, valueStart, valueEnd);
        if (finding !== null) {
          value = finding.value;
          run.maskedValues += finding.count;
          for (const name of finding.detectors) run.classify(name);
        }
      }
      if (value !== undefined) {
        output.copy(buffer, copied, at);
        if (value === null) output.int32(-1);
        else {
          output.int32(value.length);
          output.bytes(value);
        }
        copied = valueEnd;
        changed = true;
      }
    }
    at = valueEnd;
  }
  if (at !== end) throw malformed();
  if (!changed) return false;
  output.copy(buffer, copied, end);
  writeInt32(output.buffer, outStart + 1, output.length - outStart - 1);
  return true;
}
