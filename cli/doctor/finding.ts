/** What `sallyport doctor` has to say about one thing. */
import { errorText } from '@sallyport/shared/errors.ts';

export interface Finding {
  check: string;
  /** `note` is worth knowing and in nobody's way. */
  outcome: 'fine' | 'note' | 'wrong';
  detail: string;
  /** What to type or to change; there whenever something is wrong. */
  mend?: string;
}

export const fine = (check: string, detail: string): Finding => ({ check, outcome: 'fine', detail });
export const note = (check: string, detail: string, mend?: string): Finding => ({
  ...{ check, outcome: 'note' as const, detail },
  ...(mend === undefined ? {} : { mend }),
});
export const wrong = (check: string, detail: string, mend: string): Finding => ({ check, outcome: 'wrong', detail, mend });

/** Runs a check; one that throws is a finding, and keeps no other from being made. */
export async function checked(check: string, mend: string, work: () => Promise<Finding | Finding[]>): Promise<Finding[]> {
  try {
    return [await work()].flat();
  } catch (error) {
    return [wrong(check, errorText(error), mend)];
  }
}

const dayMs = 24 * 60 * 60 * 1000;

/** How long a certificate is good for. */
export function expiry(check: string, notAfterMs: number, nowMs: number, limits: { noteMs: number }, mend: string): Finding {
  const left = notAfterMs - nowMs;
  const text = left < 0 ? `expired ${span(-left)} ago` : `good for ${span(left)}`;
  if (left < 0) return wrong(check, text, mend);
  return left < limits.noteMs ? note(check, text, mend) : fine(check, text);
}

/** How far two clocks are apart. Tokens are judged with a tolerance of seconds. */
export function skew(check: string, skewMs: number, whose: string): Finding {
  const text = `${whose} is ${span(Math.abs(skewMs))} ${skewMs > 0 ? 'ahead of' : 'behind'} this machine`;
  const mend = 'synchronise the clocks (NTP): `timedatectl set-ntp true`, or chrony, on the machine that is off';
  if (Math.abs(skewMs) < 5000) return fine(check, `${whose} agrees with this machine`);
  return Math.abs(skewMs) < 30_000 ? note(check, text, mend) : wrong(check, text, mend);
}

export function span(ms: number): string {
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 2 * 3_600_000) return `${Math.round(ms / 60_000)} min`;
  return ms < 3 * dayMs ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / dayMs)} days`;
}
