/** A question in a modal window: fields, what is wrong with the answer, and the one button that carries it out. */
import { type FormEvent, type ReactNode, useState } from 'react';
import { Button, Note } from './basics.tsx';
import { Dialog } from './dialog.tsx';
import { Untrusted } from './untrusted.tsx';

export function FormDialog({
  title,
  submit,
  danger = false,
  cancel,
  onSubmit,
  onClose,
  children,
  className,
}: {
  title: string;
  /** What the button says. */
  submit: string;
  /** What it does cannot be taken back. */
  danger?: boolean;
  /** What the button says that does nothing; absent: there is none but the one in the corner. */
  cancel?: string;
  /** @param text a field's value, trimmed. Whatever it throws is shown, and the fields stay as they are. */
  onSubmit: (text: (name: string) => string) => Promise<void>;
  onClose: () => void;
  children: ReactNode;
  className?: string;
}) {
  const [refused, setRefused] = useState('');
  const [busy, setBusy] = useState(false);
  const carryOut = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    setRefused('');
    try {
      await onSubmit(name => String(form.get(name) ?? '').trim());
    } catch (error) {
      setRefused(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose} {...(className === undefined ? {} : { className })}>
      <form className="col" onSubmit={event => void carryOut(event)}>
        {children}
        {refused !== '' && (
          <Note tone="bad">
            <Untrusted text={refused} />
          </Note>
        )}
        <div className="actions">
          {cancel !== undefined && <Button onClick={onClose}>{cancel}</Button>}
          <button type="submit" className={danger ? 'button danger solid' : 'button primary'} disabled={busy}>
            {submit}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** A text with its label. */
export function TextField({
  name,
  label,
  longest,
  required = false,
  mono = false,
  first = false,
  placeholder,
  initial,
  lines = 1,
}: {
  name: string;
  label: string;
  /** Characters. */
  longest: number;
  required?: boolean;
  /** Names and the like: not words to be corrected. */
  mono?: boolean;
  /** Where typing begins. */
  first?: boolean;
  placeholder?: string;
  /** What stands there at first. */
  initial?: string;
  /** How many are seen. */
  lines?: number;
}) {
  const field = {
    ...{ id: `field-${name}`, name, className: mono ? 'input mono' : 'input', maxLength: longest, required, autoComplete: 'off' },
    ...{ spellCheck: !mono, placeholder, defaultValue: initial, ...(first ? { 'data-first': true } : {}) },
  };
  return (
    <div className="field">
      <label htmlFor={field.id}>{label}</label>
      {lines > 1 ? <textarea {...field} rows={lines} /> : <input {...field} />}
    </div>
  );
}
