/** Why a side of a relay is not read; it is read when no reason is left. Bits, so that several can hold at once. */
export const Pause = { Held: 1, Drain: 2, Stall: 4, Pending: 8 } as const;
