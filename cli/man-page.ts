/** `sallyport man`: the manual page, made from the commands' own definitions. @see man-pages(7) */
import type { Command } from 'commander';
import { EXAMPLES } from './help-examples.ts';
import type { Entry } from './main.ts';
import type { Terminal } from './terminal.ts';

export async function manPage(
  titled: readonly { title: string; entries: readonly Entry[] }[],
  terminal: Terminal,
  version: string,
): Promise<string> {
  const lines = [
    `.TH SALLYPORT 1 "" "sallyport ${roff(version)}" "Sallyport"`,
    '.SH NAME',
    'sallyport \\- an access gateway',
    '.SH SYNOPSIS',
    '.B sallyport',
    '.I COMMAND',
    '[options]',
  ];
  for (const { title, entries } of titled) {
    lines.push(`.SH ${title.toUpperCase()}`);
    for (const entry of entries) {
      const command = (await entry.load()).define(terminal, () => undefined, []);
      lines.push(...section(command, command.name()));
      for (const below of command.commands) lines.push(...section(below, `${command.name()} ${below.name()}`));
    }
  }
  lines.push('.SH "EXIT STATUS"', '0 done, 1 refused or failed, 2 usage.');
  lines.push('.SH ENVIRONMENT');
  for (const [name, about] of VARIABLES) lines.push('.TP', `.B ${roff(name)}`, roff(about));
  return lines.join('\n');
}

const VARIABLES = [
  ['SALLYPORT_DATA', 'data folder of the running installation'],
  ['SALLYPORT_API, SALLYPORT_CA', 'address and CA of a control plane elsewhere'],
  ['SALLYPORT_TOKEN', 'the token to act with'],
  ['SALLYPORT_PROFILE', 'name of the profile to use'],
  ['NO_COLOR', 'no colours'],
] as const;

function section(command: Command, name: string): string[] {
  const shown = command.registeredArguments.map(argument => {
    const text = argument.name().toUpperCase() + (argument.variadic ? '…' : '');
    return argument.required ? text : `[${text}]`;
  });
  const lines = [`.SS ${roff([name, ...shown].join(' '))}`, roff(command.description())];
  for (const option of command.options.filter(({ hidden }) => !hidden))
    lines.push('.TP', `.B ${roff(option.flags)}`, roff(option.description));
  const examples = EXAMPLES[name.replace(/^sallyport /, '')] ?? [];
  if (examples.length > 0) lines.push('.PP', 'Examples:', '.nf', ...examples.map(example => `  ${roff(example)}`), '.fi');
  return lines;
}

/** A line as it is to be read: nothing in it is a request of roff. */
function roff(text: string): string {
  const escaped = text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll(/\s+/g, ' ');
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}
