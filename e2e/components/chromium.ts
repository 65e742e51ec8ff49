/** Debian's Chromium, driven by Playwright: people at the console. Whatever a page complains about fails the test that opened it. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import axe from 'axe-core';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

const executablePath = '/usr/bin/chromium';
const waitMs = 180_000;
/** Screenshots of the tests: to be looked at, not compared. */
export const artefacts = path.join(import.meta.dirname, '..', '..', '.cache', 'screenshots');

export interface Look {
  theme?: 'light' | 'dark';
  width?: number;
  height?: number;
}

export interface Visitor {
  page: Page;
  context: BrowserContext;
  /** Opens a page of the console and waits until it has what it asked for. */
  open: (path: string) => Promise<void>;
  screenshot: (name: string) => Promise<void>;
  /** Serious violations that axe finds on the page as it is now. */
  violations: () => Promise<string[]>;
  /** What the page complained about so far: errors of scripts, of the content security policy, requests to elsewhere. */
  complaints: string[];
  close: () => Promise<void>;
}

export async function startChromium(): Promise<Browser> {
  assert.ok(existsSync(executablePath), `${executablePath} is missing: e2e/setup.sh installs it`);
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
}

/** A browser of its own at the console, as one of the sample people; null: not signed in. */
export async function visit(browser: Browser, console: string, person: string | null, look: Look = {}): Promise<Visitor> {
  const { theme = 'light', width = 1280, height = 800 } = look;
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: theme,
    reducedMotion: 'reduce',
    hasTouch: width < 600,
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  context.setDefaultTimeout(waitMs);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('pageerror', error => complaints.push(`error: ${error.message}`));
  page.on('console', message => {
    // What the API refuses is shown by the page; the browser's own line about it is no complaint.
    if (message.type() === 'error' && !/^Failed to load resource/.test(message.text()))
      complaints.push(`${message.text()} (${message.location().url}:${message.location().lineNumber})`);
  });
  page.on('request', request => {
    const { origin, protocol } = new URL(request.url());
    const isOwn = origin === new URL(console).origin || protocol === 'blob:' || protocol === 'data:';
    if (!isOwn && !request.isNavigationRequest() && !/\/interaction\/|favicon/.test(page.url() + request.url()))
      complaints.push(`a request to elsewhere: ${request.url()}`);
  });
  const open = async (to: string) => {
    await page.goto(console + to);
    await page.waitForSelector('.shell .top h1');
    await page.locator('.skeleton, [data-busy="true"]').first().waitFor({ state: 'detached' });
  };
  if (person !== null) {
    await page.goto(`${console}/`);
    await page.click('a.button.primary.big');
    await page.click(`form[action$="person=${person}"] button`);
    await page.waitForSelector('.shell');
  }
  return {
    page,
    context,
    open,
    complaints,
    async screenshot(name) {
      mkdirSync(artefacts, { recursive: true });
      await page.screenshot({ path: path.join(artefacts, `${name}.png`) });
    },
    async violations() {
      // Evaluated by the debugger's side: the page's own policy lets no text become script, and keeps doing so.
      await page.evaluate(axe.source);
      const { violations } = await page.evaluate(() =>
        (globalThis as unknown as { axe: { run: () => Promise<{ violations: AxeViolation[] }> } }).axe.run(),
      );
      return violations
        .filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('\n  ')}`);
    },
    close: () => context.close(),
  };
}

interface AxeViolation {
  id: string;
  impact: string | null;
  nodes: { html: string; failureSummary?: string }[];
}
