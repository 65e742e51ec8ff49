/** A button with a menu, on the browser's own popover: it closes on Escape, on a click beside it, and once something of it is chosen. */
import { type MouseEvent, type ReactNode, useId, useRef } from 'react';
import { Icon, type IconName } from './icon.tsx';

export function Menu({
  label,
  icon,
  text,
  children,
  quiet = false,
}: {
  label: string;
  icon?: IconName;
  text?: ReactNode;
  children: ReactNode;
  quiet?: boolean;
}) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const menu = useRef<HTMLDivElement>(null);
  const place = () => {
    const [anchor, panel] = [button.current, menu.current];
    if (!anchor || !panel) return;
    const box = anchor.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = panel;
    panel.style.left = `${Math.max(8, Math.min(box.left, innerWidth - width - 8))}px`;
    panel.style.top = `${box.bottom + height + 8 > innerHeight ? Math.max(8, box.top - height - 4) : box.bottom + 4}px`;
  };
  /** What is ticked is chosen among others: it stays open for that. */
  const chosen = (event: MouseEvent) => {
    if (event.target instanceof Element && event.target.closest('a, button') !== null) menu.current?.hidePopover();
  };
  return (
    <>
      <button
        ref={button}
        type="button"
        className={`button${quiet ? ' quiet' : ''}${text === undefined ? ' icon-only' : ''}`}
        popoverTarget={id}
        aria-label={text === undefined ? label : undefined}
        title={label}
      >
        {icon && <Icon name={icon} />}
        {text}
      </button>
      <div ref={menu} id={id} popover="auto" className="menu" role="group" aria-label={label} onToggle={place} onClick={chosen}>
        {children}
      </div>
    </>
  );
}
