import { Dialog } from '../ui/dialog.tsx';
import { useRegistered } from '../ui/keyboard.ts';

/** Lists what is registered now, so that it is always what works. */
export function KeyboardHelp({ onClose }: { onClose: () => void }) {
  const shortcuts = useRegistered();
  return (
    <Dialog title="Keyboard" onClose={onClose}>
      <dl className="facts" style={{ gap: '8px 18px' }}>
        {shortcuts.map(({ keys, label }) => (
          <div key={`${keys} ${label}`} style={{ display: 'contents' }}>
            <dt>
              <Keys keys={keys} />
            </dt>
            <dd>{label}</dd>
          </div>
        ))}
        <div style={{ display: 'contents' }}>
          <dt>
            <kbd>Esc</kbd>
          </dt>
          <dd>Close what is open</dd>
        </div>
      </dl>
    </Dialog>
  );
}

export function Keys({ keys }: { keys: string }) {
  const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
  return (
    <span className="row" style={{ gap: 3 }}>
      {keys
        .split(' ')
        .flatMap(key => key.split('+'))
        .map(key => (
          <kbd key={key}>{key === 'mod' ? (isMac ? '⌘' : 'Ctrl') : key.length === 1 ? key.toUpperCase() : key}</kbd>
        ))}
    </span>
  );
}
