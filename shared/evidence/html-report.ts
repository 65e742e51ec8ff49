/**
 * The page for people in an evidence file: whose sessions, what was asked, what was decided and by whom, what came back. One page without
 * scripts, pictures or anything from elsewhere. Every text in it came from clients, so that each is escaped, and characters that would
 * hide or turn others around are shown by their numbers.
 *
 * It is a reading aid and bounded: the records in the file are what is proven. Pure; what signs it is `reportBytes` of the caller.
 */

export interface ReportedSession {
  id: string;
  principal: string;
  kind: string;
  resource: string;
  agent: string;
  clientAddress: string;
  role: string;
  startedAtUnixUs: number;
  endedAtUnixUs: number | null;
  /** How it ended, or why it was refused. */
  outcome: string;
  commands: ReportedCommand[];
  /** Commands beyond those that were kept. */
  more: number;
  records: number;
}

export interface ReportedCommand {
  seq: number;
  atUnixUs: number;
  text: string;
  decision: string;
  rule: string;
  reason: string;
  columnsRead: readonly string[];
  approvers: readonly string[];
  status: string;
  rows: number;
  maskedValues: number;
  dataClasses: readonly string[];
}

export interface ReportHead {
  madeAt: string;
  /** As people pin it. */
  key: string;
  scope: Readonly<Record<string, unknown>>;
  treeHead: { origin: string; size: number; root: string; at: string };
}

/** Commands of one session, characters of one text, characters of the page: whatever was recorded, it can be opened. */
export const REPORT_COMMANDS_MAX = 1000;
const TEXT_LENGTH_MAX = 2000;
const PAGE_LENGTH_MAX = 8 * 1024 * 1024;
const PREFIX = new TextEncoder().encode('sallyport-report-v1\0');

/** What the control plane signs: the page together with the signed head of the file that it belongs to. */
export function reportBytes(note: string, html: string): Uint8Array {
  const text = new TextEncoder().encode(`${note}\0${html}`);
  const bytes = new Uint8Array(PREFIX.length + text.length);
  bytes.set(PREFIX);
  bytes.set(text, PREFIX.length);
  return bytes;
}

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#1a1c20;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.05rem;margin:2rem 0 .3rem}code,td.text{font:13px/1.45 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #d9dce1}
th{font-weight:600;white-space:nowrap}td.n{text-align:right;font-variant-numeric:tabular-nums}dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:0}
dt{color:#555b66}dd{margin:0;overflow-wrap:anywhere}.deny{color:#a3123a;font-weight:600}.hold{color:#8a5a00;font-weight:600}.x{color:#a3123a;border:1px solid;border-radius:3px;padding:0 .2em;font-size:.85em}
.note{color:#555b66}`;

export class HtmlReport {
  readonly #parts: string[];
  #length = 0;
  #sessions = 0;
  #shown = 0;

  constructor({ madeAt, key, scope, treeHead }: ReportHead) {
    const asked = Object.entries(scope).map(([name, value]) => `${name} ${Array.isArray(value) ? value.join(', ') : String(value)}`);
    this.#parts = [
      `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"><meta name="referrer" content="no-referrer"><meta name="viewport" content="width=device-width"><title>Evidence report</title><style>${STYLE}</style></head><body>
<h1>Evidence report</h1>
<dl>${pair('Sessions of', asked.join(', ') || 'everything')}${pair('Made at', madeAt)}${pair('Control log', `${treeHead.origin}, ${treeHead.size} entries, signed ${treeHead.at}`)}${pair('Root', treeHead.root)}${pair('Key', key)}</dl>
<p class="note">This page is a reading aid. What is proven are the records in the file that it came from: verify that file.</p>
`,
    ];
  }

  add(session: ReportedSession): void {
    this.#sessions++;
    if (this.#length > PAGE_LENGTH_MAX) return;
    this.#shown++;
    const rows = session.commands.map(command);
    const more = session.more > 0 ? `<p class="note">and ${session.more} more commands, in the records</p>` : '';
    const html = `<section><h2>${escaped(session.principal || 'nobody known')} on ${escaped(session.resource)}</h2>
<dl>${pair('Session', session.id)}${pair('Time', `${moment(session.startedAtUnixUs)}${session.endedAtUnixUs === null ? '' : ` to ${moment(session.endedAtUnixUs)}`}`)}${pair('From', session.clientAddress)}${pair('By agent', session.agent)}${pair('Role', session.role)}${pair('Outcome', session.outcome)}${pair('Records', String(session.records))}</dl>
${rows.length === 0 ? '<p class="note">no commands</p>' : `<table><thead><tr><th>#</th><th>time (UTC)</th><th>command</th><th>decision</th><th>status</th><th>rows</th><th>masked</th></tr></thead><tbody>${rows.join('')}</tbody></table>`}${more}</section>
`;
    this.#length += html.length;
    this.#parts.push(html);
  }

  /** The whole page. */
  end(): string {
    const left = this.#sessions - this.#shown;
    const more = left > 0 ? `<p class="note">and ${left} more sessions, in the records</p>` : '';
    return `${this.#parts.join('')}<p>${this.#sessions} sessions.</p>${more}</body></html>\n`;
  }
}

function command(each: ReportedCommand): string {
  const why = [each.rule, each.reason, each.approvers.length > 0 ? `approved by ${each.approvers.join(', ')}` : ''].filter(
    part => part !== '',
  );
  const found = each.dataClasses.length > 0 ? `<br>${escaped(each.dataClasses.join(', '))}` : '';
  const read = each.columnsRead.length > 0 ? `<br><span class="note">reads ${escaped(each.columnsRead.join(', '))}</span>` : '';
  const kind = each.decision === 'deny' || each.decision === 'hold' ? ` class="${each.decision}"` : '';
  return `<tr><td class="n">${each.seq}</td><td>${moment(each.atUnixUs).slice(11)}</td><td class="text">${escaped(each.text)}${read}</td><td><span${kind}>${escaped(each.decision)}</span>${why.length > 0 ? `<br>${escaped(why.join(' · '))}` : ''}</td><td>${escaped(each.status)}</td><td class="n">${each.rows}</td><td class="n">${each.maskedValues}${found}</td></tr>`;
}

function pair(name: string, value: string): string {
  return value === '' ? '' : `<dt>${name}</dt><dd>${escaped(value)}</dd>`;
}

function moment(atUnixUs: number): string {
  const date = new Date(atUnixUs / 1000);
  return Number.isNaN(date.getTime()) ? 'unknown' : date.toISOString().slice(0, 19).replace('T', ' ');
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Text for any place of the page but inside a tag's name; also characters that are invisible or change the direction of others are shown. */
export function escaped(text: string): string {
  const whole = text.length > TEXT_LENGTH_MAX ? `${text.slice(0, TEXT_LENGTH_MAX)}…` : text;
  return whole.replace(/[&<>"']|[^\P{C}\n\t]|\p{Default_Ignorable_Code_Point}|[\u2028\u2029]/gu, each => {
    const entity = ENTITIES[each];
    return entity ?? `<span class="x">U+${(each.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}</span>`;
  });
}
