/**
 * Does a protected value appear in bytes, in any form that a reader could turn back? Used on what a client received: frames of
 * the protocol, in whatever mode.
 */

/** Forms of `value` that are looked for, each with its name. Case is folded by the search. */
export function forms(value: string): { name: string; text: string }[] {
  const bytes = Buffer.from(value);
  const characters = value.split('');
  const base64 = [0, 1, 2].map(shift => {
    // Inner characters of the base64 of the value at each of the three alignments: what any surrounding text leaves of it.
    const text = Buffer.concat([Buffer.alloc(shift, 0x20), bytes, Buffer.alloc(3, 0x20)]).toString('base64');
    return text.slice(
      shift === 0 ? 0 : 4,
      shift === 0 ? Math.floor((bytes.length * 4) / 3) - 1 : Math.floor(((bytes.length + shift) * 4) / 3) - 1,
    );
  });
  return [
    { name: 'plain', text: value },
    { name: 'reversed', text: characters.toReversed().join('') },
    { name: 'hex', text: bytes.toString('hex') },
    { name: 'octal escapes', text: [...bytes].map(byte => `\\${byte.toString(8).padStart(3, '0')}`).join('') },
    ...base64.map((text, i) => ({ name: `base64 at ${i}`, text })),
    { name: 'url', text: [...bytes].map(byte => `%${byte.toString(16)}`).join('') },
    { name: 'utf-16', text: characters.join('\0') },
    { name: 'spaced', text: characters.join(' ') },
    { name: 'one a line', text: characters.join('\n') },
    { name: 'with commas', text: characters.join(',') },
    { name: 'codes with commas', text: [...bytes].join(',') },
    { name: 'codes with spaces', text: [...bytes].join(' ') },
    { name: 'bits', text: [...bytes].map(byte => byte.toString(2).padStart(8, '0')).join('') },
    { name: 'doubled', text: characters.map(character => character + character).join('') },
    { name: 'rot13', text: value.replace(/[a-z]/gi, c => String.fromCharCode((((c.charCodeAt(0) & 31) + 12) % 26) + (c < 'a' ? 65 : 97))) },
  ];
}

/** The first form of any of the values that is in `haystack`, or null. */
export function findLeak(haystack: Buffer, values: readonly string[]): string | null {
  const text = haystack.toString('latin1').toLowerCase();
  for (const value of values)
    for (const form of forms(value))
      if (form.text.length >= 4 && text.includes(form.text.toLowerCase())) return `${form.name} of ${value.slice(0, 6)}…`;
  return null;
}
