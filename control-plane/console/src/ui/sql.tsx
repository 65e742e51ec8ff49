/** A command as people read it: coloured by its grammar, with what is hidden in it shown. */
import { formatSql, type SqlTokenKind, sqlTokens } from '@sallyport/shared/sql/highlight.ts';
import { memo, useMemo } from 'react';
import { shown } from './untrusted.tsx';

const classes: Partial<Record<SqlTokenKind, string>> = {
  keyword: 'k',
  string: 's',
  number: 'n',
  comment: 'c',
  function: 'f',
  punctuation: 'p',
  quoted: 'q',
  parameter: 'n',
};

const charactersMax = 20_000;

/** @param line one line, cut off where there is no more room. */
export const Sql = memo(function Sql({ text, line = false, format = false }: { text: string; line?: boolean; format?: boolean }) {
  const cut = line ? text.slice(0, 400) : text.slice(0, charactersMax);
  const tokens = useMemo(() => sqlTokens(format ? formatSql(cut) : line ? cut.replace(/\s+/g, ' ') : cut), [cut, format, line]);
  return (
    <code className={line ? 'sql one' : 'sql'}>
      {tokens.map(({ kind, text: token }, index) => {
        const name = classes[kind];
        return name === undefined ? (
          shown(token)
        ) : (
          <span key={index} className={name}>
            {shown(token)}
          </span>
        );
      })}
      {!line && text.length > charactersMax && <span className="softer"> … {text.length - charactersMax} more characters</span>}
    </code>
  );
});
