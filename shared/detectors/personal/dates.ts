/** Dates inside of identifiers. */

export function two(digits: readonly number[], at: number): number {
  return (digits[at] as number) * 10 + (digits[at + 1] as number);
}

const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Whether a day of that month exists in some year. */
export function isDay(month: number, day: number): boolean {
  return month >= 1 && month <= 12 && day >= 1 && day <= (DAYS[month - 1] as number);
}

/** `yymmdd` at `at`; some countries add to the month or the day to say century or sex. */
export function isYymmdd(
  digits: readonly number[],
  at: number,
  monthOffsets: readonly number[] = [0],
  dayOffsets: readonly number[] = [0],
): boolean {
  return monthOffsets.some(month => dayOffsets.some(day => isDay(two(digits, at + 2) - month, two(digits, at + 4) - day)));
}

/** `ddmmyy` at `at`. */
export function isDdmmyy(
  digits: readonly number[],
  at: number,
  monthOffsets: readonly number[] = [0],
  dayOffsets: readonly number[] = [0],
): boolean {
  return monthOffsets.some(month => dayOffsets.some(day => isDay(two(digits, at + 2) - month, two(digits, at) - day)));
}
