/**
 * Who has had a hand in a manifest. An approval rule must not be shaped by who then approves under it, so it is not enough to know who
 * changed it last: a change of somebody else's on top would wash the first one off.
 *
 * Everyone who has changed a manifest since it was made counts. Who deletes one and lets another make it anew counts on for as long as a
 * command may wait for its approval, since it was held under what they wrote.
 */

export interface Author {
  /** As the event names them; `admin` is the administrator's token, which is nobody. */
  name: string;
  issuer?: string;
  subject?: string;
  /** Set when the manifest was made anew by somebody else: until then they count. */
  countsUntilMs?: number;
}

type Change = 'created' | 'changed' | 'deleted';

/** The longest `expiresIn` of an approval (shared/policy/values.ts). */
const heldMsMax = 7 * 24 * 60 * 60 * 1000;
/** People, of one manifest; the oldest is forgotten first. */
const authorsMax = 512;

/** The authors after one more event. Pure. */
export function authorsAfter(
  before: readonly Author[],
  event: { author: string; authorIdentity?: { issuer: string; subject: string }; atUnixUs: bigint },
  change: Change,
): Author[] {
  const atMs = Number(event.atUnixUs / 1000n);
  const author: Author = { name: event.author, ...event.authorIdentity };
  const others = authorsInForce(before, atMs).filter(each => !isSame(each, author));
  const kept = change === 'created' ? others.map(each => ({ ...each, countsUntilMs: each.countsUntilMs ?? atMs + heldMsMax })) : others;
  return [...kept, author].slice(-authorsMax);
}

export function authorsInForce(authors: readonly Author[], nowMs: number): Author[] {
  return authors.filter(({ countsUntilMs }) => countsUntilMs === undefined || nowMs < countsUntilMs);
}

/** By subject where both have the same issuer, and by name wherever they signed in: one person may have two providers. */
export function isAuthor(person: { name: string; issuer: string; subject: string }, author: Author): boolean {
  return (person.issuer === author.issuer && person.subject === author.subject) || sameName(person.name, author.name);
}

/** Directories do not tell names by case. */
export function sameName(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

export function isSame(a: Author, b: Author): boolean {
  return a.name === b.name && a.issuer === b.issuer && a.subject === b.subject;
}
