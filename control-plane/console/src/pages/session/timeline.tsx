/** The commands of a session in their order; of thousands, only what is seen is in the document. */
import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useRef, useState } from 'react';
import type { RecordedCommand } from '../../api/types.ts';
import { Badge } from '../../ui/basics.tsx';
import { compact, DecisionBadge, duration, parseTime, Time } from '../../ui/format.tsx';
import { useShortcuts } from '../../ui/keyboard.ts';
import { Sql } from '../../ui/sql.tsx';
import { CommandDetails } from './command-details.tsx';

/** Between two commands, from here on, the silence is worth a word. */
const pauseMs = 60_000;

export function Timeline({
  commands,
  openSeq,
  onOpen,
}: {
  commands: readonly RecordedCommand[];
  openSeq: number | null;
  onOpen: (seq: number | null) => void;
}) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: commands.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 40,
    getItemKey: index => commands[index]?.seq ?? index,
    overscan: 8,
    paddingStart: 6,
    paddingEnd: 40,
  });
  const at = commands.findIndex(({ seq }) => seq === openSeq);
  const [scrolledTo, setScrolledTo] = useState<number | null>(null);
  useEffect(() => {
    if (at >= 0 && openSeq !== scrolledTo) {
      virtual.scrollToIndex(at, { align: 'auto' });
      setScrolledTo(openSeq);
    }
  }, [at, openSeq, scrolledTo, virtual]);
  const move = (step: number) => {
    const next = commands[at < 0 ? (step > 0 ? 0 : commands.length - 1) : at + step];
    if (next !== undefined) onOpen(next.seq);
  };
  const jump = (step: number, wanted: (command: RecordedCommand) => boolean) => {
    for (let index = at + step; index >= 0 && index < commands.length; index += step) {
      const command = commands[index];
      if (command !== undefined && wanted(command)) return onOpen(command.seq);
    }
  };
  useShortcuts([
    { keys: 'j', label: 'Next command', run: () => move(1) },
    { keys: 'k', label: 'Command before', run: () => move(-1) },
    { keys: 'n', label: 'Next that was denied or held', run: () => jump(1, ({ decision }) => decision !== 'allow') },
    { keys: 'N', label: 'Denied or held before', run: () => jump(-1, ({ decision }) => decision !== 'allow') },
    { keys: 'Escape', label: '', run: () => onOpen(null) },
  ]);
  return (
    <div ref={scroller} className="vlist timeline" tabIndex={0} role="region" aria-label="Commands">
      <ol style={{ height: virtual.getTotalSize(), position: 'relative' }}>
        {virtual.getVirtualItems().map(({ index, start, key }) => {
          const command = commands[index];
          if (command === undefined) return null;
          const before = commands[index - 1];
          const pause =
            before === undefined ? 0 : parseTime(command.at).getTime() - parseTime(before.at).getTime() - before.durationUs / 1000;
          const open = command.seq === openSeq;
          return (
            <li key={key} data-index={index} ref={virtual.measureElement} style={{ transform: `translateY(${start}px)` }}>
              {pause > pauseMs && <div className="pause softer">{duration(pause * 1000)} without a command</div>}
              <span className={`knob ${tones[command.decision] ?? ''}`} />
              <button type="button" className="cmd" aria-expanded={open} onClick={() => onOpen(open ? null : command.seq)}>
                <span className="softer num only-wide">
                  <Time at={command.at} />
                </span>
                <Sql text={command.text} line />
                <span className="row cmd-facts">
                  {command.maskedValues > 0 && <Badge tone="mask">{compact(command.maskedValues)} masked</Badge>}
                  {(command.decision !== 'allow' || command.status === 'error') && (
                    <DecisionBadge decision={command.decision} status={command.status} />
                  )}
                  {command.decision === 'allow' && command.status !== 'ok' && command.status !== 'error' && (
                    <Badge tone="wait">{command.status}</Badge>
                  )}
                  <span className="softer num only-wide cmd-rows">
                    {command.decision === 'deny' ? '' : `${compact(command.rows)} ${command.rows === 1 ? 'row' : 'rows'}`}
                  </span>
                  <span className="softer num cmd-took">{duration(command.durationUs)}</span>
                </span>
              </button>
              {open && <CommandDetails sessionId={command.sessionId} seq={command.seq} />}
            </li>
          );
        })}
      </ol>
    </div>
  );
}

const tones: Readonly<Record<string, string>> = { allow: 'good', deny: 'bad', hold: 'wait' };
