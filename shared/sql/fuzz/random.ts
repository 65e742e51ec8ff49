/** A small seeded generator (mulberry32): the same seed gives the same sequence on every machine. Not for secrets. */
export interface Random {
  /** An integer from 0 to below `bound`. */
  below(bound: number): number;
  /** True once in `times` calls, on average. */
  once(times: number): boolean;
  pick<T>(items: readonly T[]): T;
}

export function seeded(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    below: bound => Math.floor(next() * bound),
    once: times => next() * times < 1,
    pick: items => {
      const item = items[Math.floor(next() * items.length)];
      if (item === undefined) throw new RangeError('nothing to pick from');
      return item;
    },
  };
}
