/** A record's body as JSON for people: names as in the proto's JSON, bytes left out (they are in `encoded`). */
import { PrincipalKind, type Record as SessionRecord, Status } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { decisionName } from './derive.ts';

export function bodyJson(record: SessionRecord): string {
  return record.body.value === undefined ? '{}' : JSON.stringify(record.body.value, readable);
}

/** `this` holds the value as it is; `value` may be what its `toJSON` made of it. */
function readable(this: unknown, key: string, value: unknown): unknown {
  if (key === '$typeName' || key === '$unknown') return undefined;
  if ((this as Record<string, unknown>)[key] instanceof Uint8Array) return undefined;
  if (typeof value === 'bigint') return value <= Number.MAX_SAFE_INTEGER ? Number(value) : String(value);
  if (typeof value === 'number') {
    if (key === 'decision') return decisionName(value);
    if (key === 'status') return (Status[value] ?? '').toLowerCase();
    if (key === 'kind') return (PrincipalKind[value] ?? '').toLowerCase();
  }
  return value;
}
