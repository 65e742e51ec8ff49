/** Small parts that every page uses. */
import { Link } from '@tanstack/react-router';
import { type ButtonHTMLAttributes, type ReactNode, useEffect, useRef, useState } from 'react';
import { ApiError } from '../api/client.ts';
import { Icon, type IconName } from './icon.tsx';

export type Tone = 'good' | 'bad' | 'wait' | 'info' | 'mask';

export function Badge({ tone, children, title }: { tone?: Tone | undefined; children: ReactNode; title?: string }) {
  return (
    <span className={tone === undefined ? 'badge' : `badge ${tone}`} title={title}>
      {children}
    </span>
  );
}

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: 'primary' | 'quiet' | 'danger' | 'danger solid' | undefined;
  icon?: IconName;
  big?: boolean;
}

export function Button({ look, icon, big = false, children, className = '', ...rest }: ButtonProps) {
  const classes = ['button', look, big && 'big', children === undefined && 'icon-only', className].filter(Boolean).join(' ');
  return (
    <button type="button" {...rest} className={classes}>
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

export function Note({ tone, children }: { tone?: 'bad' | 'wait' | 'good'; children: ReactNode }) {
  return (
    <div className={tone === undefined ? 'note' : `note ${tone}`} role={tone === 'bad' ? 'alert' : undefined}>
      <Icon name={tone === 'good' ? 'check' : tone === undefined ? 'info' : 'warn'} />
      <div className="grow">{children}</div>
    </div>
  );
}

/** Nothing to show, and what to do about it. */
export function Empty({ icon, title, children }: { icon: IconName; title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <Icon name={icon} />
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** What went wrong and what to do, from the API's own words. */
export function ErrorNote({ error, retry }: { error: unknown; retry?: () => void }) {
  const known = error instanceof ApiError;
  const denied = known && error.status === 403;
  return (
    <div className="pad">
      <Note tone={denied ? 'wait' : 'bad'}>
        <div className="col">
          <span>{error instanceof Error ? error.message : String(error)}</span>
          {denied && (
            <span className="soft">
              Your account has no right to this. Somebody who administers Sallyport can give you a role that has.
            </span>
          )}
          <span className="row">
            {retry && !denied && <Button onClick={retry}>Try again</Button>}
            {known && error.code !== 'UNREACHABLE' && <code className="softer">{error.code}</code>}
          </span>
        </div>
      </Note>
    </div>
  );
}

/** Grey lines of the size of what comes, so that nothing jumps. */
export function Loading({ rows = 6 }: { rows?: number }) {
  return (
    <div className="pad col" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, index) => (
        <div key={index} className="skeleton" style={{ height: 18, width: `${92 - ((index * 17) % 40)}%` }} />
      ))}
    </div>
  );
}

export function Card({
  title,
  actions,
  children,
  flush = false,
}: {
  title?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  flush?: boolean;
}) {
  return (
    <section className="card">
      {title !== undefined && (
        <header>
          <h2 className="grow truncate">{title}</h2>
          {actions}
        </header>
      )}
      {flush ? children : <div className="body">{children}</div>}
    </section>
  );
}

export function CopyButton({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [copied, setCopied] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = () => {
    navigator.clipboard.writeText(text).then(
      () => {
        setCopied(true);
        timer.current = setTimeout(() => setCopied(false), 1600);
      },
      () => setCopied(false),
    );
  };
  return (
    <Button icon={copied ? 'check' : 'copy'} onClick={copy}>
      {copied ? 'Copied' : label}
    </Button>
  );
}

/** A line to paste into a terminal. */
export function Paste({ text }: { text: string }) {
  return (
    <div className="row code-block">
      <code className="grow">{text}</code>
      <CopyButton text={text} />
    </div>
  );
}

export function Page({
  title,
  actions,
  children,
  toolbar,
}: {
  title: ReactNode;
  actions?: ReactNode;
  toolbar?: ReactNode;
  children: ReactNode;
}) {
  return (
    <>
      <header className="top">
        <MenuButton />
        <h1 className="truncate">{title}</h1>
        {toolbar ?? <span className="grow" />}
        {actions}
      </header>
      {/* Reachable by keyboard: it scrolls. */}
      <div className="page" tabIndex={0}>
        {children}
      </div>
    </>
  );
}

/** Opens the navigation where it has no room beside the page. */
function MenuButton() {
  return (
    <button
      type="button"
      className="button quiet icon-only menu-button"
      aria-label="Navigation"
      onClick={() => {
        const side = document.querySelector<HTMLElement>('.side');
        if (side) side.dataset['open'] = side.dataset['open'] === 'true' ? 'false' : 'true';
      }}
    >
      <Icon name="menu" />
    </button>
  );
}

export function Tabs<Value extends string>({
  value,
  options,
  onChange,
  label,
}: {
  value: Value;
  options: readonly { value: Value; label: ReactNode }[];
  onChange: (value: Value) => void;
  label: string;
}) {
  return (
    <fieldset className="segmented" aria-label={label} style={{ margin: 0 }}>
      {options.map(option => (
        <button key={option.value} type="button" aria-pressed={option.value === value} onClick={() => onChange(option.value)}>
          {option.label}
        </button>
      ))}
    </fieldset>
  );
}

/** Links to a list with a query. */
export function QueryLink({ query, children, to = '/sessions' }: { query: string; children: ReactNode; to?: '/sessions' | '/commands' }) {
  return (
    <Link className="link" to={to} search={{ q: query }}>
      {children}
    </Link>
  );
}
