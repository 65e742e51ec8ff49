/** The record that the crash test's process writes at an index. */
import { encodeCommand, encodeSessionStarted } from '@sallyport/shared/records/encode.ts';

export function contentOf(index: number): Uint8Array {
  const head = { sessionId: `s${index % 3}`, seq: Math.floor(index / 3), atUnixUs: index + 1 };
  if (head.seq === 0) return encodeSessionStarted(head, { resource: 'crm' }).slice();
  return encodeCommand(head, { text: 'x'.repeat((index * 7919) % 700), rule: String(index) }).slice();
}
