/**
 * How quickly the console's pages can be used, in a real Chromium, over a store with many commands.
 *
 *   npm run -s bench:console [-- --commands 50000000 --rounds 5 --store DIR]
 *
 * Every page is opened anew in each round, in turn: from the navigation until its own content is there and nothing is being asked. Then
 * a search as it is typed, from the last key until its results are shown; the JavaScript that the first page loads; and how far the layout shifts while
 * pages load. Without arguments the store holds a million commands, which the store makes itself; DIR keeps
 * them for another run.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startControlPlane } from '@sallyport/control-plane/control-plane.ts';
import { bundleFolder, ensureBundle } from '@sallyport/control-plane/http/console-bundle.ts';
import { writer } from '@sallyport/control-plane/session-store/spawn-process.ts';
import pino from 'pino';
import { startChromium } from '../../e2e/components/chromium.ts';
import { figure, median, table } from '../harness/figures.ts';
import { generatedStore } from '../harness/generated-store.ts';

const { values } = parseArgs({
  options: { commands: { type: 'string', default: '1000000' }, rounds: { type: 'string', default: '5' }, store: { type: 'string' } },
});
const commands = Number(values.commands);
const rounds = Number(values.rounds);
const fullSize = 50_000_000;
const interactiveMsMax = 1000;
const scriptBytesMax = 300_000;
/** What a person sees as still. */
const shiftMax = 0.1;

/** What the browser and the machine take for anything at all: figures are given as multiples of it. */
const nothing = 'a page without a script';

const pages: readonly (readonly [name: string, path: string, content: string])[] = [
  [nothing, '/healthz', 'body'],
  ['sessions', '/sessions', '.vrow'],
  ['sessions, denied', '/sessions?q=decision:denied', '.vrow'],
  ['commands', '/commands', '.vrow'],
  ['commands, by text', '/commands?q=text:customers+rows:>40', '.vrow'],
  ['overview', '/overview', '.tile'],
  ['inbox', '/inbox', '.empty'],
  ['policies', '/policies/Role', '.empty'],
  ['evidence', '/evidence', '.item'],
];

const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-bench-console-'));
const store = await generatedStore(commands, values.store);
const { tables } = store;
const plane = await startControlPlane({
  ...{ dataDir: path.join(dir, 'data'), http: '127.0.0.1:0', grpc: '127.0.0.1:0', env: {}, version: 'bench' },
  clickhouse: { url: store.url, user: writer.name, password: writer.password },
  logger: pino({ level: 'silent' }),
  onFault: error => {
    throw error;
  },
});
await ensureBundle(bundleFolder(process.env));
const browser = await startChromium();
try {
  const [newest] = await tables.rows<{ session_id: string }>(
    'SELECT session_id FROM sallyport.session_rows ORDER BY started_at DESC LIMIT 1',
  );
  const measured = [...pages, ['session', `/sessions/${newest?.session_id ?? ''}`, '.cmd'] as const];
  const taken = new Map<string, number[]>(measured.map(([name]) => [name, []]));
  const shifts: number[] = [];
  const scripts: number[] = [];
  const searches: number[] = [];
  // The first round fills the server's own caches: it is not counted.
  for (let round = -1; round < rounds; round++) {
    for (let at = 0; at < measured.length; at++) {
      const [name, to, content] = measured[(at + Math.max(0, round)) % measured.length] ?? ['', '', ''];
      const context = await browser.newContext({
        viewport: { width: 1280, height: 800 },
        extraHTTPHeaders: { authorization: `Bearer ${plane.adminToken}` },
      });
      const page = await context.newPage();
      let scriptBytes = 0;
      page.on('requestfinished', request => {
        if (request.resourceType() !== 'script') return;
        void request.sizes().then(({ responseBodySize }) => {
          scriptBytes += responseBodySize;
        });
      });
      await page.addInitScript(() => {
        const scope = globalThis as unknown as { shift: number };
        scope.shift = 0;
        new PerformanceObserver(list => {
          for (const entry of list.getEntries()) scope.shift += (entry as unknown as { value: number }).value;
        }).observe({ type: 'layout-shift' as never, buffered: true });
      });
      const startedMs = performance.now();
      await page.goto(plane.httpUrl + to, { waitUntil: 'commit' });
      await page.locator(content).first().waitFor();
      await page.locator('.skeleton, [data-busy="true"]').first().waitFor({ state: 'detached' });
      const ms = performance.now() - startedMs;
      if (round >= 0) {
        taken.get(name)?.push(ms);
        shifts.push(await page.evaluate(() => (globalThis as unknown as { shift: number }).shift));
      }
      if (name === 'commands') {
        // What is loaded after the page is usable (the palette) counts as well.
        await page.waitForTimeout(500);
        if (round >= 0) scripts.push(scriptBytes);
        await page.getByRole('combobox', { name: 'Query' }).fill('who:person7@example.com');
        const typedMs = performance.now();
        await page.locator('.vrow', { hasText: 'person7@example.com' }).first().waitFor();
        await page.locator('.vrow', { hasText: 'person8@example.com' }).first().waitFor({ state: 'detached' });
        await page.locator('[data-busy="true"]').first().waitFor({ state: 'detached' });
        if (round >= 0) searches.push(performance.now() - typedMs);
      }
      await context.close();
    }
  }
  const isFull = commands >= fullSize;
  for (const [name, all] of taken) {
    const value = median(all);
    figure({
      ...{ bench: 'console', case: `${name} usable, ${commands} commands`, subject: 'sallyport', value, unit: 'ms' },
      ratios: { [nothing]: value / median(taken.get(nothing) ?? []) },
      target: `under ${interactiveMsMax} ms with ${fullSize} commands`,
      met: isFull || value >= interactiveMsMax ? value < interactiveMsMax : null,
    });
  }
  figure({
    ...{ bench: 'console', case: `search as typed, ${commands} commands`, subject: 'sallyport', value: median(searches), unit: 'ms' },
    target: `under ${interactiveMsMax} ms with ${fullSize} commands`,
    met: isFull || median(searches) >= interactiveMsMax ? median(searches) < interactiveMsMax : null,
  });
  figure({
    ...{ bench: 'console', case: 'JavaScript of the first page, compressed', subject: 'sallyport', value: median(scripts), unit: 'bytes' },
    target: `under ${scriptBytesMax}`,
    met: median(scripts) < scriptBytesMax,
  });
  figure({
    ...{ bench: 'console', case: 'layout shift, the worst page', subject: 'sallyport', value: Math.max(...shifts), unit: 'score' },
    target: `under ${shiftMax}`,
    met: Math.max(...shifts) < shiftMax,
  });
  table();
} finally {
  await browser.close();
  await plane.close();
  await store.close();
  rmSync(dir, { recursive: true, force: true });
}
