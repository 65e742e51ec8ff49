/** `sallyport get KIND [NAME]`: what is configured, secrets left out. */
import { KINDS } from '@sallyport/shared/policy/kinds.ts';
import { nearest } from '@sallyport/shared/policy/nearest.ts';
import { Command } from 'commander';
import { administratorRequest, allPages, type ConnectionOptions, findConnection, withConnectionOptions } from '../connection.ts';
import { moment } from '../moment.ts';
import { pairs, shortened, table } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';

interface AppliedManifest {
  kind: string;
  metadata: { name: string; labels: Record<string, string> };
  spec: unknown;
  status: { version: number; updatedAt: string; author: string };
}

export function define(terminal: Terminal): Command {
  return withConnectionOptions(new Command('sallyport get'))
    .description(`Shows manifests in force. Kinds: ${KINDS.join(', ')}.`)
    .argument('<kind>', 'kind of manifest; case and plural do not matter')
    .argument('[name]', 'only this one, as YAML')
    .option('--at <TIME>', 'as it was then: 2026-11-01, 2026-11-01T08:00Z, or as long ago as 7d', text => moment(text))
    .option('--json', 'print JSON')
    .action(async (word: string, name: string | undefined, options: ConnectionOptions & { at?: string; json?: true }) => {
      const kind = kindOf(word);
      const connection = await findConnection(options, terminal);
      const path = pathOf(kind, name, options.at);
      const answer =
        name === undefined
          ? { manifests: await allPages<AppliedManifest>(connection, path, 'manifests') }
          : await administratorRequest(connection, 'GET', path);
      if (options.json) {
        terminal.out(JSON.stringify(answer, null, 2));
      } else if (name !== undefined) {
        const { stringify } = await import('yaml');
        terminal.out(stringify(answer).trimEnd());
      } else {
        terminal.out(
          table(
            (answer as { manifests: AppliedManifest[] }).manifests,
            [
              { title: 'NAME', value: manifest => manifest.metadata.name },
              { title: 'LABELS', value: manifest => pairs(manifest.metadata.labels) },
              {
                title: 'CHANGED',
                value: manifest => `${manifest.status.updatedAt.slice(0, 19).replace('T', ' ')} by ${manifest.status.author}`,
              },
              { title: 'SPEC', value: manifest => shortened(JSON.stringify(manifest.spec), 70) },
            ],
            terminal.style,
            options.at === undefined ? `no ${kind} is configured` : `no ${kind} was configured at ${options.at}`,
          ),
        );
      }
    });
}

function pathOf(kind: string, name: string | undefined, at: string | undefined): string {
  const then = at === undefined ? '' : `?at=${encodeURIComponent(at)}`;
  if (name !== undefined) return `/v1/manifests/${kind}/${encodeURIComponent(name)}${then}`;
  return at === undefined ? `/v1/manifests/${kind}` : `/v1/history/${kind}${then}`;
}

/** `resources`, `resource` and `Resource` are the same kind. */
export function kindOf(word: string): string {
  const folded = word.toLowerCase().replace(/[-_ ]/g, '');
  const known = KINDS.find(kind =>
    [kind.toLowerCase(), `${kind.toLowerCase()}s`, kind.toLowerCase().replace(/y$/, 'ies')].includes(folded),
  );
  if (known !== undefined) return known;
  const near = nearest(word, KINDS);
  throw new UsageError(
    `there is no kind \`${word}\`; ${near === undefined ? `the kinds are ${KINDS.join(', ')}` : `did you mean \`${near}\`?`}`,
  );
}
