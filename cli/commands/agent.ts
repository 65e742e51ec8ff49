/** `sallyport agent`: one agent, in this process. It reads its options itself (agent/main.ts). */
import { Command } from 'commander';
import { addKafkaOptions } from '../kafka-options.ts';
import type { Terminal } from '../terminal.ts';

export function define(_terminal: Terminal, exit: (code: number) => void, rest: readonly string[]): Command {
  const command = new Command('sallyport agent')
    .description('Runs an agent: it stands in front of resources and dials out to the control plane.')
    .option('--data <DIR>', 'data folder: keys, lease, spool')
    .option('--control-plane <HOST:PORT>', 'where the control plane listens for agents')
    .option('--join <TOKEN>', 'join token of `sallyport agents invite`; only for the first start (SALLYPORT_JOIN_TOKEN)')
    .option('--name <NAME>', "name in records and lists (default: this machine's)")
    .option('--label <KEY=VALUE>', 'told to the control plane; may be repeated')
    .option('--hostname <NAME>', 'name that clients connect to, for the certificate that they see; may be repeated')
    .option('--http <HOST:PORT>', 'address of /healthz, /readyz and /metrics')
    .option('--workers <N>', 'threads that serve connections')
    .option('--spool-bytes <N>', "bound of each thread's spool")
    .option('--drain-seconds <N>', 'how long sessions may go on after SIGTERM')
    .allowUnknownOption()
    .allowExcessArguments()
    .action(async () => {
      const { runAgent } = await import('@sallyport/agent/main.ts');
      exit(await runAgent([...rest]));
    });
  return addKafkaOptions(command);
}
