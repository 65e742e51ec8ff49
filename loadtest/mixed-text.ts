/**
 * Mixed text as it passes a gateway, from a seed: application logs, JSON, SQL rows, prose, source code, base64, key=value lines.
 * About one line in two hundred holds something to find. No value in it belongs to anybody.
 */

/** A small, fast generator of numbers (mulberry32); the same seed gives the same text everywhere. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const WORDS =
  'the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you were all her she there would their we him been has when who will no more if out so up said what its about than into them can only other time new some could these two may first then do any like my now over such our man me even most made after also did many before must through back years where much your way well down should because each just those people too mr how little state good very make world still see own work men day get here old between both life being under three never know same last another while us off might great go come since against right came take used himself few house use place during high without again home around small however found'.split(
    ' ',
  );
const LEVELS = ['INFO', 'INFO', 'INFO', 'DEBUG', 'WARN', 'ERROR'];
const MODULES = ['http.server', 'db.pool', 'billing.worker', 'auth.session', 'cache', 'scheduler', 'api.orders', 'queue.consumer'];
const PATHS = ['/v1/orders', '/api/users/42', '/healthz', '/static/app.js', '/v2/search?q=shoes', '/login', '/metrics'];
const CODE = [
  'export function total(items: Item[]): number {',
  '  const sum = items.reduce((a, b) => a + b.price * b.count, 0);',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a line of somebody's code.
  '  if (sum > limit) throw new RangeError(`over ${limit}`);',
  "import { readFile } from 'node:fs/promises';",
  'def handle(self, request, *args, **kwargs):',
  '    return self.queryset.filter(created__gte=now() - timedelta(days=7))',
  'SELECT id, name, created_at FROM orders WHERE status = $1 ORDER BY id LIMIT 100;',
  'for (let i = 0; i < rows.length; i += 2) process(rows[i], rows[i + 1]);',
  '// The token is refreshed in the background; see RFC 6749 section 6.',
  '#include <stdio.h>',
];

/** About `size` bytes of lines. */
export function mixedText(size: number, seed: number): Buffer {
  const random = seeded(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const pick = (list: readonly string[]): string => list[below(list.length)] as string;
  const chars = (alphabet: string, n: number): string => {
    let text = '';
    for (let i = 0; i < n; i++) text += alphabet.charAt(below(alphabet.length));
    return text;
  };
  const hex = (n: number): string => chars('0123456789abcdef', n);
  const base64 = (n: number): string => chars('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', n);
  const pad = (n: number, width: number): string => String(n).padStart(width, '0');
  const uuid = (): string => `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`;
  const time = (): string =>
    `2025-${pad(1 + below(12), 2)}-${pad(1 + below(28), 2)}T${pad(below(24), 2)}:${pad(below(60), 2)}:${pad(below(60), 2)}.${pad(below(1000), 3)}Z`;
  const prose = (n: number): string => Array.from({ length: n }, () => pick(WORDS)).join(' ');
  const findable = [
    (): string => `contact ${pick(WORDS)}.${pick(WORDS)}@example.com about order ${below(1e6)}`,
    (): string => `ssn ${pad(1 + below(665), 3)}-${pad(1 + below(99), 2)}-${pad(1 + below(9999), 4)} on file`,
    (): string => `${['aws', 'AWS_ACCESS_KEY_ID'][below(2)]}=AK${'IA'}${chars('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 16)}`,
    (): string => `Authorization: Bearer ${base64(40).replace(/[+/]/g, 'x')}1`,
    (): string => `postgres://app:${base64(16).replace(/[+/]/g, 'x')}@db.internal:5432/app`,
    (): string => `client 203.0.113.${below(256)} connected`,
  ];
  const kinds = [
    (): string =>
      `${time()} ${pick(LEVELS)} [${pick(MODULES)}] request_id=${uuid()} method=GET path=${pick(PATHS)} status=${pick(['200', '201', '404', '500'])} duration_ms=${below(2000)}`,
    (): string => `${time()} ${pick(LEVELS)} ${pick(MODULES)}: ${prose(8 + below(10))}`,
    (): string =>
      JSON.stringify({
        id: below(1e9),
        uuid: uuid(),
        at: time(),
        name: `${pick(WORDS)} ${pick(WORDS)}`,
        amount: below(1e6) / 100,
        ok: below(2) === 1,
        tags: [pick(WORDS), pick(WORDS)],
        trace: hex(32),
      }),
    (): string => `${below(1e7)}\t${pick(WORDS)}\t${prose(4)}\t${below(1e5) / 100}\t${time()}\t${pick(['t', 'f'])}\t\\N`,
    (): string => prose(15 + below(30)),
    (): string => pick(CODE),
    (): string => `commit ${hex(40)}\tv${below(20)}.${below(30)}.${below(9)}\t${1.7e12 + below(1e9)}`,
    (): string => base64(76 + below(80)),
    (): string => `${pick(WORDS).toUpperCase()}_${pick(WORDS).toUpperCase()}=${prose(1)} # ${prose(6)}`,
  ];
  const parts: string[] = [];
  let length = 0;
  while (length < size) {
    const line = `${below(200) === 0 ? (findable[below(findable.length)] as () => string)() : (kinds[below(kinds.length)] as () => string)()}\n`;
    parts.push(line);
    length += line.length;
  }
  return Buffer.from(parts.join('').slice(0, size), 'latin1');
}
