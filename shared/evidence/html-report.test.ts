import assert from 'node:assert/strict';
import { test } from 'node:test';
import { escaped, HtmlReport, type ReportedSession } from './html-report.ts';

const head = {
  madeAt: '2026-04-01T09:30:00.000Z',
  key: 'origin+00000000+AAAA',
  scope: { person: '<b>sam</b>', sessions: ['"><script>'] },
  treeHead: { origin: 'o', size: 3, root: 'r', at: '2026-04-01T09:30:00.000Z' },
};

function session(text: string, fields: Partial<ReportedSession> = {}): ReportedSession {
  const command = { seq: 1, atUnixUs: 1.775e15, text, decision: 'deny', rule: text, reason: text, columnsRead: [text], approvers: [text] };
  return {
    id: text,
    principal: text,
    kind: text,
    resource: text,
    agent: text,
    clientAddress: text,
    role: text,
    startedAtUnixUs: 1.775e15,
    endedAtUnixUs: null,
    outcome: text,
    commands: [{ ...command, status: text, rows: 1, maskedValues: 2, dataClasses: [text] }],
    more: 0,
    records: 3,
    ...fields,
  };
}

/** The page's tags: whatever a client sent, they are those of an empty text, but for marks of single characters. */
const tags = (html: string) => html.replaceAll(/<span class="x">U\+[0-9A-F]{4,6}<\/span>/g, '').match(/<[^>]*>/g);

test('nothing that a client sent becomes a tag, an attribute or an address', () => {
  const page = (text: string) => {
    const report = new HtmlReport(head);
    report.add(session(text));
    return report.end();
  };
  const plain = tags(page('plain'));
  for (const text of [
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    '</style><style>body{display:none}',
    '--><svg onload=alert(1)>',
    '<!--',
    '&lt;script&gt;',
    'javascript:alert(1)',
  ]) {
    assert.deepEqual(tags(page(text)), plain, text);
  }
  assert.ok(!page('x').includes('http://') && !page('x').includes('https://'));
  assert.ok(page('x').includes('&lt;b&gt;sam&lt;/b&gt;') && !page('x').includes('<b>'));
});

test('what is invisible, moves the cursor or turns text around is shown by its number', () => {
  for (const [text, shown] of [
    ['\u001b[2J', 'U+001B'],
    ['a\u0000b', 'U+0000'],
    ['\u009b31m', 'U+009B'],
    ['user\u202etxt.exe', 'U+202E'],
    ['\u2066x\u2069', 'U+2066'],
    ['\u200bx', 'U+200B'],
    ['\u200fx', 'U+200F'],
    ['\u061cx', 'U+061C'],
    ['\ufeffx', 'U+FEFF'],
    ['\u{e0041}x', 'U+E0041'],
    ['\u2028x', 'U+2028'],
    ['\ud800', 'U+D800'],
    ['\r', 'U+000D'],
  ] as const) {
    const html = escaped(text);
    assert.ok(html.includes(`<span class="x">${shown}</span>`), JSON.stringify(html));
    assert.ok(!/[^\P{C}\n\t]/u.test(html));
  }
  assert.equal(escaped('Grüße 東京 🙂 a\tb\nc'), 'Grüße 東京 🙂 a\tb\nc');
});

test('it stays a page that can be opened, whatever was recorded', () => {
  assert.ok(escaped('x'.repeat(1e6)).length < 2100);
  const report = new HtmlReport(head);
  const big = session('x'.repeat(2000));
  for (let at = 0; at < 3000; at++) report.add(big);
  const html = report.end();
  assert.ok(html.length < 9 * 1024 * 1024, String(html.length));
  assert.match(html, /<p>3000 sessions\.<\/p><p class="note">and \d+ more sessions, in the records<\/p>/);
});
