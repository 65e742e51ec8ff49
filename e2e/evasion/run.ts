/** Plays one evasion on one connection and gives every byte that came back. */
import { message, type RawClient } from '../components/raw-postgres.ts';
import type { Evasion } from './corpus.ts';

/**
 * Runs the steps inside a transaction where they allow it, and rolls everything back afterwards.
 * @returns all frames' payloads, one after the other.
 */
export async function play(client: RawClient, evasion: Evasion): Promise<Buffer> {
  const out: Buffer[] = [];
  const own = evasion.steps.some(step => 'simple' in step && /^\s*(begin|commit)\b|; *commit/.test(step.simple));
  const keep = (frames: { type: string; body: Buffer }[]) => {
    for (const frame of frames) out.push(frame.body);
  };
  if (!own) await client.simple('begin');
  for (const step of evasion.steps) {
    // A refusal in one step must not hide that the next one leaks: each may fail by itself.
    if (!own) await client.simple('savepoint s');
    let failed = false;
    if ('simple' in step) {
      client.send(message.query(step.simple));
      const frames = await client.until('ZG');
      if (frames.at(-1)?.type === 'G') {
        client.send(message.copyFail('no data'));
        frames.push(...(await client.until('Z')));
      }
      failed = frames.some(frame => frame.type === 'E');
      keep(frames);
    } else if ('extended' in step) {
      const frames = await client.extended(step.extended, step.parameters ?? [], {
        ...(step.binary === undefined ? {} : { binary: step.binary }),
        ...(step.describe === undefined ? {} : { describe: step.describe }),
      });
      failed = frames.some(frame => frame.type === 'E');
      keep(frames);
    } else if ('parse' in step) {
      client.send(message.parse(step.as, step.parse), message.sync());
      keep(await client.until('Z'));
    } else if ('bind' in step) {
      client.send(message.parse('', step.bind), message.bind(step.portal, ''), message.sync());
      keep(await client.until('Z'));
    } else if ('wire' in step) {
      client.send(...step.wire.messages);
      for (let i = 0; i < step.wire.ready; i++) keep(await client.until('Z'));
    } else if ('piecemeal' in step) {
      const bind = message.bind('', '', [], step.binary ? [1] : []);
      client.send(
        message.parse('', step.piecemeal),
        bind,
        message.execute('', 1),
        message.execute('', 1),
        message.execute('', 0),
        message.sync(),
      );
      keep(await client.until('Z'));
    } else {
      client.send(...step.pipeline.flatMap(sql => [message.parse('', sql), message.bind('', ''), message.execute('')]), message.sync());
      keep(await client.until('Z'));
    }
    if (failed && !own) keep(await client.simple('rollback to savepoint s'));
  }
  await client.simple('rollback');
  for (const reset of ['close all', 'deallocate all', 'reset all', 'unlisten *', 'discard temp']) await client.simple(reset);
  return Buffer.concat(out);
}
