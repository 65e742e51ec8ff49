/** Durations and sizes as manifests write them: `1h`, `1h30m`, `50MB`, `64KiB`. */

const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

const DURATION_MS_MAX = 3650 * 86_400_000;

/**
 * @param text one or more whole numbers with units, largest first, each unit once (`1h30m`).
 * @returns milliseconds, or undefined when it is no duration or over ten years.
 */
export function parseDurationMs(text: string): number | undefined {
  if (text.length > 32 || !/^(?:\d+(?:ms|s|m|h|d))+$/.test(text)) return undefined;
  let total = 0;
  let lastUnit = Number.POSITIVE_INFINITY;
  for (const [, digits, name] of text.matchAll(/(\d+)(ms|s|m|h|d)/g)) {
    const unit = DURATION_UNITS[name ?? ''];
    if (unit === undefined || unit >= lastUnit) return undefined;
    total += Number(digits) * unit;
    lastUnit = unit;
  }
  return total <= DURATION_MS_MAX ? total : undefined;
}

/** @returns bytes, or undefined when it is no size; decimals are allowed as long as the result is whole (`1.5MB`). */
export function parseSizeBytes(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?) ?(B|[kKMGT]B|[KMGT]iB)$/.exec(text);
  const unit = SIZE_UNITS[match?.[2] ?? ''];
  if (match === null || unit === undefined) return undefined;
  const bytes = Math.round(Number(match[1]) * unit * 1e6) / 1e6;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
