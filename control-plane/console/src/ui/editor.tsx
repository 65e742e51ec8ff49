/**
 * A text editor (CodeMirror) for YAML and SQL. It lives in a shadow tree, where its style sheets are adopted: the page's content security
 * policy allows no style that is written into the document.
 */
import { autocompletion, type CompletionSource, closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { PostgreSQL, sql } from '@codemirror/lang-sql';
import { yaml } from '@codemirror/lang-yaml';
import { bracketMatching, HighlightStyle, indentUnit, syntaxHighlighting } from '@codemirror/language';
import { type Diagnostic, linter, lintKeymap } from '@codemirror/lint';
import { Compartment, EditorState } from '@codemirror/state';
import { drawSelection, EditorView, highlightActiveLine, highlightSpecialChars, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { useEffect, useRef } from 'react';

export interface Mistake {
  /** From 1. */
  line: number;
  column: number;
  message: string;
}

const theme = EditorView.theme({
  '&': { fontSize: '12px', backgroundColor: 'var(--raised)', color: 'var(--ink)', height: '100%' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.55' },
  '.cm-gutters': { backgroundColor: 'var(--sunken)', color: 'var(--ink-3)', border: '0' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'var(--hover)' },
  '.cm-cursor': { borderLeftColor: 'var(--ink)' },
  '.cm-selectionBackground, &.cm-focused .cm-selectionBackground': { backgroundColor: 'var(--selected) !important' },
  '.cm-tooltip': { backgroundColor: 'var(--raised)', color: 'var(--ink)', border: '1px solid var(--line-strong)', borderRadius: '6px' },
  '.cm-tooltip-autocomplete ul li[aria-selected]': { backgroundColor: 'var(--hover)', color: 'var(--ink)' },
  '.cm-completionDetail': { color: 'var(--ink-3)', fontStyle: 'normal' },
  // Its own underline is an image in a data URL, which the page's security policy does not load.
  '.cm-lintRange-error': { backgroundImage: 'none', textDecoration: 'underline wavy var(--bad)', textUnderlineOffset: '3px' },
  '.cm-diagnostic-error': { borderLeftColor: 'var(--bad)' },
  '.cm-specialChar': { color: 'var(--bad)', backgroundColor: 'var(--bad-bg)' },
});

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName), tags.keyword], color: 'light-dark(#0b5a8a, #7cc0ee)' },
  { tag: [tags.string, tags.special(tags.string)], color: 'light-dark(#8a3b12, #efb08c)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'light-dark(#7a2a8f, #dba4ee)' },
  { tag: tags.comment, color: 'var(--ink-3)', fontStyle: 'italic' },
  { tag: [tags.punctuation, tags.separator, tags.bracket], color: 'var(--ink-3)' },
]);

export default function Editor({
  text,
  onChange,
  language,
  label,
  readOnly = false,
  complete,
  check,
}: {
  text: string;
  onChange: (text: string) => void;
  language: 'yaml' | 'sql';
  label: string;
  readOnly?: boolean;
  complete?: CompletionSource;
  check?: (text: string) => readonly Mistake[];
}) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const handlers = useRef({ onChange, complete, check });
  handlers.current = { onChange, complete, check };
  const writable = useRef(new Compartment());
  const first = useRef({ text, language, label });
  useEffect(() => {
    const element = host.current;
    if (element === null) return;
    const root = element.shadowRoot ?? element.attachShadow({ mode: 'open' });
    const { text: start, language: spoken, label: name } = first.current;
    const editor = new EditorView({
      root,
      parent: root,
      state: EditorState.create({
        doc: start,
        extensions: [
          lineNumbers(),
          history(),
          drawSelection(),
          highlightSpecialChars({ addSpecialChars: /[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g }),
          highlightActiveLine(),
          bracketMatching(),
          closeBrackets(),
          indentUnit.of('  '),
          EditorView.lineWrapping,
          spoken === 'yaml' ? yaml() : sql({ dialect: PostgreSQL }),
          syntaxHighlighting(colours),
          theme,
          autocompletion({ override: [context => handlers.current.complete?.(context) ?? null] }),
          linter(({ state }) => diagnostics(state, handlers.current.check?.(state.doc.toString()) ?? []), { delay: 250 }),
          // Escape, then Tab, leaves the editor: nobody is caught in it.
          keymap.of([
            ...closeBracketsKeymap,
            ...defaultKeymap.filter(({ key }) => key !== 'Mod-Enter'),
            ...historyKeymap,
            ...completionKeymap,
            ...lintKeymap,
            indentWithTab,
          ]),
          EditorView.contentAttributes.of({ 'aria-label': name }),
          EditorView.updateListener.of(update => {
            if (update.docChanged) handlers.current.onChange(update.state.doc.toString());
          }),
          writable.current.of([]),
        ],
      }),
    });
    view.current = editor;
    return () => {
      view.current = null;
      editor.destroy();
    };
  }, []);
  useEffect(() => {
    view.current?.dispatch({ effects: writable.current.reconfigure(EditorState.readOnly.of(readOnly)) });
  }, [readOnly]);
  useEffect(() => {
    const editor = view.current;
    if (editor !== null && editor.state.doc.toString() !== text)
      editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: text } });
  }, [text]);
  return <div ref={host} className="editor" />;
}

function diagnostics(state: EditorState, mistakes: readonly Mistake[]): Diagnostic[] {
  return mistakes.map(({ line, column, message }) => {
    const at = state.doc.line(Math.max(1, Math.min(line, state.doc.lines)));
    const from = Math.min(at.to, at.from + Math.max(0, column - 1));
    const word = /^[^\s:,{}[\]]+/.exec(at.text.slice(from - at.from))?.[0].length ?? 0;
    return { from, to: Math.min(at.to, from + word), severity: 'error', message };
  });
}
