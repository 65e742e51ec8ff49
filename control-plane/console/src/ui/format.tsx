/** How times, amounts and states are written. */
import { useEffect, useState } from 'react';
import { Badge } from './basics.tsx';

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
const dayFormat = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const numberFormat = new Intl.NumberFormat('en');
const compactFormat = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

export function number(value: number): string {
  return numberFormat.format(value);
}

export function compact(value: number): string {
  return value < 10_000 ? numberFormat.format(value) : compactFormat.format(value);
}

/** The store's and the API's times are UTC; where the `Z` is missing it is meant. */
export function parseTime(text: string): Date {
  return new Date(/[zZ]|[+-]\d\d:?\d\d$/.test(text) ? text : `${text.replace(' ', 'T')}Z`);
}

/** `14:03:22` today, `3 Nov 14:03:22` before. */
export function timeText(text: string, now = new Date()): string {
  const time = parseTime(text);
  if (Number.isNaN(time.getTime())) return text;
  const today = time.toDateString() === now.toDateString();
  return today ? clockFormat.format(time) : `${dayFormat.format(time)} ${clockFormat.format(time)}`;
}

export function Time({ at }: { at: string }) {
  return (
    <time dateTime={at} title={at} className="num">
      {timeText(at)}
    </time>
  );
}

/** `820 µs`, `12 ms`, `3.2 s`, `4 min`. */
export function duration(us: number): string {
  if (us < 1000) return `${us} µs`;
  if (us < 10_000) return `${(us / 1000).toFixed(1)} ms`;
  if (us < 1_000_000) return `${Math.round(us / 1000)} ms`;
  if (us < 60_000_000) return `${us % 1e6 === 0 ? us / 1e6 : (us / 1e6).toFixed(1)} s`;
  const minutes = Math.floor(us / 60e6);
  return minutes < 120
    ? `${minutes} min`
    : minutes < 2880
      ? `${Math.floor(minutes / 60)} h ${minutes % 60} min`
      : `${Math.floor(minutes / 1440)} d`;
}

export function bytes(value: number): string {
  if (value < 1000) return `${value} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let [amount, unit] = [value, ''];
  for (const next of units) {
    if (amount < 1000) break;
    [amount, unit] = [amount / 1000, next];
  }
  return `${amount.toFixed(amount < 10 ? 1 : 0)} ${unit}`;
}

/** The present, again every `everyMs`. */
export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** How long ago, or how long still. */
export function Ago({ at }: { at: string }) {
  const now = useNow(5000);
  // Whole seconds: nobody reads tenths of what goes on.
  const ms = Math.trunc((now - parseTime(at).getTime()) / 1000) * 1000;
  return (
    <time dateTime={at} title={at}>
      {Math.abs(ms) < 5000 ? 'now' : ms > 0 ? `${duration(ms * 1000)} ago` : `in ${duration(-ms * 1000)}`}
    </time>
  );
}

export function Countdown({ to }: { to: string }) {
  const now = useNow(1000);
  const left = Math.max(0, Math.ceil((parseTime(to).getTime() - now) / 1000));
  const text =
    left >= 3600
      ? `${Math.floor(left / 3600)}:${String(Math.floor((left % 3600) / 60)).padStart(2, '0')}:${String(left % 60).padStart(2, '0')}`
      : `${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')}`;
  return (
    <span className={left < 60 ? 'timer soon' : 'timer'} title={`until ${to}`}>
      {left === 0 ? 'time is over' : text}
    </span>
  );
}

export function DecisionBadge({ decision, status }: { decision: string; status?: string }) {
  if (decision === 'deny') return <Badge tone="bad">denied</Badge>;
  if (decision === 'hold' && status === 'ok') return <Badge tone="good">released</Badge>;
  if (decision === 'hold' && status === 'refused') return <Badge tone="bad">not released</Badge>;
  if (decision === 'hold') return <Badge tone="wait">held</Badge>;
  if (status === 'error') return <Badge tone="wait">error</Badge>;
  if (decision === 'allow') return <Badge tone="good">allowed</Badge>;
  return <Badge>{decision || '–'}</Badge>;
}
