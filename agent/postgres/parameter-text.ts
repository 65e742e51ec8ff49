/** A bound value as text for its record: text as it is, the common binary types as PostgreSQL prints them, others in hexadecimal. */
import { isUtf8 } from 'node:buffer';

const TEXT_MAX = 1024;

/** @param typeOid what the client said of the type; 0 when the server chose it. */
export function parameterText(bytes: Buffer, start: number, end: number, binary: boolean, typeOid: number): string {
  const length = end - start;
  if (!binary) return bytes.toString('utf8', start, Math.min(end, start + TEXT_MAX));
  switch (typeOid) {
    case 16:
      if (length === 1) return bytes[start] === 0 ? 'f' : 't';
      break;
    case 20:
      if (length === 8) return bytes.readBigInt64BE(start).toString();
      break;
    case 21:
      if (length === 2) return String(bytes.readInt16BE(start));
      break;
    case 23:
      if (length === 4) return String(bytes.readInt32BE(start));
      break;
    case 700:
      if (length === 4) return String(bytes.readFloatBE(start));
      break;
    case 701:
      if (length === 8) return String(bytes.readDoubleBE(start));
      break;
    case 25:
    case 1042:
    case 1043:
      return bytes.toString('utf8', start, Math.min(end, start + TEXT_MAX));
  }
  const view = bytes.subarray(start, Math.min(end, start + TEXT_MAX));
  // Printable text that came in binary form is text on the wire.
  if (length > 4 && isUtf8(view) && view.every(byte => byte >= 0x20)) return view.toString('utf8');
  return `\\x${view.subarray(0, TEXT_MAX / 2).toString('hex')}`;
}
