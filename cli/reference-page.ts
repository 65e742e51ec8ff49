/**
 * The tables of docs/reference/cli.md, made from the commands themselves, so that the page cannot say anything else than the
 * command does. `node cli/generate-reference.ts` writes them; a test compares.
 */
import type { Command } from 'commander';
import { COMMANDS } from './main.ts';
import { watchedTerminal } from './watched-terminal.testing.ts';

/** One section per command, in the order of the overview. */
export async function commandReference(): Promise<string> {
  const sections: string[] = [];
  for (const { title, entries } of COMMANDS) {
    sections.push(`## ${title}`);
    for (const entry of entries) {
      const command = (await entry.load()).define(watchedTerminal(), () => {}, []);
      sections.push(section(command, command.name()));
      for (const below of command.commands) sections.push(section(below, `${command.name()} ${below.name()}`));
    }
  }
  return `${sections.join('\n\n')}\n`;
}

function section(command: Command, name: string): string {
  const shown = [...command.registeredArguments.map(argument => bracketed(argument.name(), argument.required, argument.variadic))];
  const lines = [`### \`${[name, ...shown].join(' ')}\``, '', command.description()];
  const options = command.options.filter(option => !option.hidden);
  if (options.length > 0) {
    lines.push('', '| option | meaning |', '|---|---|');
    for (const option of options)
      lines.push(`| \`${cell(option.flags)}\` | ${cell(option.description)}${option.mandatory ? ' (required)' : ''} |`);
  }
  return lines.join('\n');
}

function bracketed(name: string, required: boolean, variadic: boolean): string {
  const text = name.toUpperCase() + (variadic ? '…' : '');
  return required ? text : `[${text}]`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

export const BEGIN = '<!-- generated: commands -->';
export const END = '<!-- end -->';

/** `page` with what stands between the two marks replaced. */
export function withReference(page: string, reference: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`the page has no ${BEGIN} … ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${reference}\n${page.slice(end)}`;
}
