/** Modal windows on the browser's own `dialog`: it keeps the focus inside, makes the rest inert and closes on Escape. */
import { type ReactNode, useEffect, useId, useRef } from 'react';
import { Button } from './basics.tsx';

export function Dialog({
  title,
  onClose,
  children,
  className = '',
  bare = false,
}: {
  title: string;
  onClose: () => void;
  children: ReactNode;
  className?: string;
  /** Without heading and close button. */
  bare?: boolean;
}) {
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    // By itself it would take the button that closes it.
    dialog?.querySelector<HTMLElement>('[data-first]')?.focus();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={element}
      className={className}
      aria-label={bare ? title : undefined}
      aria-labelledby={bare ? undefined : heading}
      onCancel={event => {
        event.preventDefault();
        onClose();
      }}
      onClick={event => {
        if (event.target === element.current) onClose();
      }}
    >
      {bare ? (
        children
      ) : (
        <div className="content">
          <div className="row spread">
            <h1 id={heading}>{title}</h1>
            <Button look="quiet" icon="cross" aria-label="Close" onClick={onClose} />
          </div>
          {children}
        </div>
      )}
    </dialog>
  );
}
