/**
 * The field of the query language: completes names of fields and their values, and says where a query is mistaken, by the same parser
 * that the server uses.
 */
import { FIELDS } from '@sallyport/shared/search/fields.ts';
import { parseQuery, type QueryMistake } from '@sallyport/shared/search/query.ts';
import { type KeyboardEvent, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { Icon } from './icon.tsx';
import { useShortcuts } from './keyboard.ts';
import { Untrusted } from './untrusted.tsx';

interface Suggestion {
  /** What stands in the place of the word that is being typed. */
  insert: string;
  about: string;
}

const suggestionsMax = 9;

export function queryMistake(text: string): QueryMistake | null {
  const result = parseQuery(text, Date.now());
  return result.ok ? null : result.mistake;
}

export function QueryBar({
  text,
  onChange,
  onList,
  scope,
  values = {},
}: {
  text: string;
  onChange: (text: string) => void;
  /** Enter or arrow down, when nothing is offered: on to the results. */
  onList: () => void;
  scope: 'session' | 'command';
  /** Known values of fields, e.g. names of resources. */
  values?: Readonly<Record<string, readonly string[]>>;
}) {
  const input = useRef<HTMLInputElement>(null);
  const id = useId();
  const [open, setOpen] = useState(false);
  const [caret, setCaret] = useState(0);
  const [selected, setSelected] = useState(-1);
  /** Where the caret goes when the text that was completed is in the field; before the next key comes. */
  const caretAfter = useRef<number | null>(null);
  useLayoutEffect(() => {
    if (caretAfter.current !== null) input.current?.setSelectionRange(caretAfter.current, caretAfter.current);
    caretAfter.current = null;
  });
  useShortcuts([{ keys: '/', label: 'Search', run: () => input.current?.focus() }]);
  const word = wordAt(text, caret);
  const offered = useMemo(() => (open ? suggestions(word.text, scope, values) : []), [open, word.text, scope, values]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another word has other completions
  useEffect(() => setSelected(-1), [word.text]);
  const accept = (suggestion: Suggestion) => {
    const next = text.slice(0, word.start) + suggestion.insert + text.slice(word.end);
    const at = word.start + suggestion.insert.length;
    onChange(next);
    setCaret(at);
    caretAfter.current = at;
    if (!suggestion.insert.endsWith(':')) setOpen(false);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const chosen = offered[selected];
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      if (offered.length === 0) {
        if (event.key === 'ArrowDown') onList();
      } else setSelected((selected + (event.key === 'ArrowDown' ? 1 : offered.length + (selected < 0 ? 0 : -1))) % offered.length);
    } else if ((event.key === 'Enter' || event.key === 'Tab') && chosen !== undefined) {
      event.preventDefault();
      accept(chosen);
    } else if (event.key === 'Enter') {
      setOpen(false);
      onList();
    } else if (event.key === 'Escape') {
      if (offered.length > 0) setOpen(false);
      else input.current?.blur();
    }
  };
  const mistake = queryMistake(text);
  return (
    <div className="query">
      <Icon name="search" />
      <input
        ref={input}
        className="input"
        type="text"
        role="combobox"
        aria-label="Query"
        aria-expanded={offered.length > 0}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={selected >= 0 ? `${id}-${selected}` : undefined}
        aria-invalid={mistake !== null}
        placeholder={
          scope === 'session' ? 'resource:crm decision:denied since:7d text:"drop table"' : 'decision:denied who:alice@* text:"drop table"'
        }
        spellCheck={false}
        autoComplete="off"
        value={text}
        onChange={event => {
          onChange(event.target.value);
          setCaret(event.target.selectionStart ?? 0);
          setOpen(true);
        }}
        onSelect={event => setCaret(event.currentTarget.selectionStart ?? 0)}
        onFocus={() => setOpen(true)}
        onBlur={() => setTimeout(() => setOpen(false), 120)}
        onKeyDown={onKeyDown}
      />
      <kbd className="query-key" aria-hidden="true">
        /
      </kbd>
      <ul id={`${id}-list`} role="listbox" aria-label="Completions" className="card suggest" hidden={offered.length === 0}>
        {offered.map((suggestion, index) => (
          <li
            key={suggestion.insert}
            id={`${id}-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === selected}
            onMouseDown={event => event.preventDefault()}
            onClick={() => accept(suggestion)}
          >
            <code>
              <Untrusted text={suggestion.insert} />
            </code>
            <span className="softer truncate">{suggestion.about}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

function wordAt(text: string, caret: number): { text: string; start: number; end: number } {
  let start = Math.min(caret, text.length);
  while (start > 0 && !/[\s()]/.test(text.charAt(start - 1))) start--;
  if (text.charAt(start) === '-') start++;
  let end = Math.min(caret, text.length);
  while (end < text.length && !/[\s()]/.test(text.charAt(end))) end++;
  return { text: text.slice(start, Math.max(start, caret)), start, end };
}

function suggestions(word: string, scope: 'session' | 'command', values: Readonly<Record<string, readonly string[]>>): Suggestion[] {
  const colon = word.indexOf(':');
  if (colon >= 0) {
    const name = word.slice(0, colon).toLowerCase();
    const typed = word.slice(colon + 1).toLowerCase();
    const field = FIELDS.find(each => each.name === name);
    if (field === undefined) return [];
    const known = [...Object.keys(field.values ?? {}), ...(values[name] ?? []), ...(timeExamples[name] ?? [])];
    return known
      .filter(value => value.toLowerCase().startsWith(typed) && value.toLowerCase() !== typed)
      .slice(0, suggestionsMax)
      .map(value => ({ insert: `${field.name}:${/[\s()",]/.test(value) ? JSON.stringify(value) : value}`, about: field.about }));
  }
  const typed = word.toLowerCase();
  return FIELDS.filter(field => field.name.startsWith(typed) && (scope === 'session' || field.scope !== 'session'))
    .slice(0, suggestionsMax)
    .map(field => ({ insert: `${field.name}:`, about: `${field.about} · ${field.example}` }));
}

const timeExamples: Readonly<Record<string, readonly string[]>> = {
  since: ['15m', '1h', '24h', '7d', '30d', 'today'],
  until: ['1h', '24h', '7d'],
  duration: ['>100ms', '>1s', '>10s'],
  rows: ['>100', '>10k'],
  masked: ['>0'],
  bytes: ['>1MB', '>100MB'],
};
