/** What came back, as the client received it: masks are shown as masks. */
import type { CommandDetails } from '../../api/types.ts';
import { Note } from '../../ui/basics.tsx';
import { bytes, number } from '../../ui/format.tsx';
import { shown, Untrusted } from '../../ui/untrusted.tsx';

const rowsShownMax = 200;

export function AnswerTables({ command }: { command: CommandDetails }) {
  const { answer } = command;
  if (answer === undefined) return <RawAnswer command={command} />;
  const cut = command.responseHeadTruncated || !answer.whole;
  return (
    <div className="col">
      {answer.notes.map(({ severity, code, message }, index) => (
        <Note key={index} tone={/ERROR|FATAL|PANIC/.test(severity) ? 'bad' : 'wait'}>
          <strong>{severity}</strong> <code>{code}</code> <Untrusted text={message} />
        </Note>
      ))}
      {answer.tables.map((table, index) => (
        <div key={index} className="col" style={{ gap: 4 }}>
          {table.columns.length > 0 && (
            <div className="scroll answer" tabIndex={0} role="region" aria-label="Rows of the answer">
              <table className="table">
                <thead>
                  <tr>
                    {table.columns.map((name, column) => (
                      <th key={column} scope="col">
                        <Untrusted text={name} />
                      </th>
                    ))}
                  </tr>
                </thead>
                <tbody>
                  {table.rows.slice(0, rowsShownMax).map((row, at) => (
                    <tr key={at}>
                      {row.map((value, column) => (
                        <td key={column}>
                          <Value
                            text={value}
                            masked={isMaskedColumn(command, table.columns[column] ?? '')}
                            any={command.maskedValues > 0}
                          />
                        </td>
                      ))}
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
          <span className="softer">
            <Untrusted text={table.tag} />
            {table.rows.length > rowsShownMax && ` · the first ${rowsShownMax} rows are shown`}
          </span>
        </div>
      ))}
      {cut && answer.tables.length > 0 && (
        <span className="softer">
          The record holds the beginning of the answer
          {command.rows > 0 && `: ${number(answer.tables.reduce((sum, { rows }) => sum + rows.length, 0))} of ${number(command.rows)} rows`}
          .
        </span>
      )}
    </div>
  );
}

function RawAnswer({ command }: { command: CommandDetails }) {
  if (command.responseHead === '') return <span className="softer">Nothing of the answer was recorded ({bytes(command.bytes)}).</span>;
  return (
    <pre className="code-block">
      <Untrusted text={command.responseHead} pre />
    </pre>
  );
}

/** `column:public.customers.email` among the classes: every value of that column in the answer was masked by its rule. */
function isMaskedColumn({ dataClasses, maskedValues }: CommandDetails, name: string): boolean {
  return maskedValues > 0 && dataClasses.some(each => each.startsWith('column:') && each.split('.').at(-1) === name);
}

/** The forms that masks take in a text: shared/masking. */
const masks = /\[redacted\]|[^\s*]*\*{3,}[^\s,;"']*|\bh_[A-Za-z0-9_-]{16}\b/g;

export function Value({ text, masked, any }: { text: string | null; masked: boolean; any: boolean }) {
  if (text === null) return <span className={masked ? 'masked null' : 'null'}>{masked ? 'null (masked)' : 'null'}</span>;
  if (text === '') return <span className="null">empty</span>;
  if (masked) {
    return (
      <span className="masked untrusted" title="masked by its column’s rule">
        {shown(text)}
      </span>
    );
  }
  if (!any) return <Untrusted text={text} />;
  const parts: { text: string; masked: boolean }[] = [];
  let at = 0;
  for (const match of text.matchAll(masks)) {
    if (match.index > at) parts.push({ text: text.slice(at, match.index), masked: false });
    parts.push({ text: match[0], masked: true });
    at = match.index + match[0].length;
  }
  if (at < text.length) parts.push({ text: text.slice(at), masked: false });
  return (
    <bdi className="untrusted">
      {parts.map((part, index) =>
        part.masked ? (
          <span key={index} className="masked" title="masked">
            {shown(part.text)}
          </span>
        ) : (
          shown(part.text)
        ),
      )}
    </bdi>
  );
}
