/** `sallyport control-plane rotate-signing-key`: new keys for tickets and leases, with overlap. The work is in control-plane/pki. */
import { Command, Option } from 'commander';
import { administratorRequest, type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { table } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { durationSeconds } from './ticket.ts';

interface Key {
  kind: string;
  id: string;
  state: string;
  announcedAt: string | null;
  signsFrom: string | null;
  verifiesUntil: string | null;
}

interface Options extends ConnectionOptions {
  kind?: 'ticket' | 'lease';
  in?: number;
  reason?: string;
  list?: true;
  json?: true;
}

export function addRotateSigningKey(controlPlane: Command, terminal: Terminal): void {
  const command = withConnectionOptions(new Command('rotate-signing-key'))
    .description(
      'Announces a new key that signs tickets, leases or both. Agents are told at once; it signs when no lease is about that does not have it, and the one before verifies until all that it has signed is over.',
    )
    .addOption(new Option('--kind <KIND>', 'which (default: both)').choices(['ticket', 'lease']))
    .option(
      '--in <DURATION>',
      'when it signs, at least 5s, and the one before is over: for a key that somebody else may have',
      durationSeconds,
    )
    .option('--reason <TEXT>', 'why, for the record')
    .option('--list', 'only list the keys that there are')
    .option('--json', 'print JSON')
    .action(async (_options: Options, self: Command) => {
      const { kind, reason, list, json, in: inSeconds, ...options } = self.optsWithGlobals<Options>();
      const connection = await findConnection(options, terminal);
      const body = { ...(inSeconds === undefined ? {} : { inSeconds }), ...(reason === undefined ? {} : { reason }) };
      if (!list)
        for (const each of kind === undefined ? ['ticket', 'lease'] : [kind])
          await administratorRequest(connection, 'POST', `/v1/signing-keys/${each}/rotate`, body);
      const { keys } = (await administratorRequest(connection, 'GET', '/v1/signing-keys')) as { keys: Key[] };
      if (json) return terminal.out(JSON.stringify({ keys }, null, 2));
      const minute = (iso: string | null) => iso?.slice(0, 16).replace('T', ' ') ?? '';
      terminal.out(
        table(
          keys,
          [
            { title: 'KIND', value: key => key.kind },
            { title: 'KEY', value: key => key.id },
            { title: 'STATE', value: key => key.state },
            { title: 'SIGNS FROM', value: key => minute(key.signsFrom) },
            { title: 'VERIFIES UNTIL', value: key => minute(key.verifiesUntil) },
          ],
          terminal.style,
          'there are no keys',
        ),
      );
    });
  controlPlane.addCommand(command);
}
