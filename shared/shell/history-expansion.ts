/**
 * Would an interactive bash put a line of its history in? Says yes rather than no: `!` anywhere but in single quotes, behind a
 * backslash, or where bash itself leaves it alone (`! x`, `!=`, `$!`, `${!`, `[!`), and `^old^new` at the start.
 *
 * @see https://www.gnu.org/software/bash/manual/html_node/History-Interaction.html
 */
export function historyExpansion(text: string): boolean {
  if (text.startsWith('^')) return true;
  let single = false;
  let double = false;
  for (let i = 0; i < text.length; i += 1) {
    const c = text[i];
    if (c === '\\' && !single) i += 1;
    else if (c === "'" && !double) single = !single;
    else if (c === '"' && !single) double = !double;
    else if (c === '!' && !single) {
      const next = text[i + 1];
      const before = text[i - 1];
      const alone = next === undefined || ' \t\n='.includes(next) || (next === '"' && double) || (next === '(' && !double);
      if (!alone && before !== '$' && before !== '[' && !(before === '{' && text[i - 2] === '$')) return true;
    }
  }
  return false;
}
