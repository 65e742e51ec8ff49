/** A button with a menu, on the browser's own popover: it closes on Escape and on a click beside it. */
import { type ReactNode, useId, useRef } from 'react';
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
      <div ref={menu} id={id} popover="auto" className="menu" role="group" aria-label={label} onToggle={place}>
        {children}
      </div>
    </>
  );
}
