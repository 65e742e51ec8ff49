/**
 * Text that somebody else wrote: SQL, names, reasons, terminal titles. It is never markup, it cannot change the direction or the
 * place of what stands around it, and what an eye would miss in it is shown as a mark with its code point (hidden-characters.ts).
 */
import type { ReactNode } from 'react';
import { hidden, pieces } from './hidden-characters.ts';

/** The pieces as nodes, for components that colour text themselves. */
export function shown(text: string): ReactNode {
  // Nearly every text has nothing hidden.
  if (!hidden.test(text)) return text;
  return pieces(text).map((piece, index) =>
    piece.mark === undefined ? (
      piece.text
    ) : (
      <span key={index} className="hidden-char" title={`invisible character ${piece.mark}`}>
        {piece.mark}
      </span>
    ),
  );
}

export function Untrusted({ text, pre = false, title }: { text: string; pre?: boolean; title?: string }) {
  return (
    <bdi className={pre ? 'untrusted pre' : 'untrusted'} title={title}>
      {shown(text)}
    </bdi>
  );
}
