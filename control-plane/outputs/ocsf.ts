/**
 * Events as OCSF 1.3 (Open Cybersecurity Schema Framework): sessions are Authentication (3002), commands and responses Datastore Activity
 * (6005), changes and approvals API Activity (6003), lost records Application Error (6008). What OCSF has no attribute for is under
 * `unmapped`, so that nothing is lost.
 *
 * @see https://schema.ocsf.io/1.3.0/
 */
import type { OutputEvent, Severity } from './event.ts';

const VERSION = '1.3.0';
const SEVERITIES: Readonly<Record<Severity, number>> = { info: 1, warning: 3, high: 4 };
/** OCSF: 1 success, 2 failure. */
const FAILURES: ReadonlySet<string> = new Set(['refused', 'denied', 'error', 'cancelled', 'aborted', 'lost', 'expired', 'withdrawn']);
/** Datastore Activity: 1 read, 2 update, 4 query, 5 write, 6 create, 7 delete. */
const STATEMENTS: Readonly<Record<string, number>> = { select: 1, update: 2, insert: 5, merge: 5, delete: 7, truncate: 7 };

interface OcsfClass {
  class_uid: number;
  class_name: string;
  category_uid: number;
  category_name: string;
  activity_id: number;
}

export function ocsf(event: OutputEvent, product: { version: string }): Record<string, unknown> {
  const { fields } = event;
  const kind = classOf(event);
  const text = (name: string) => (typeof fields[name] === 'string' ? fields[name] : undefined);
  const [ip, port] = address(text('client_address') ?? text('author_address'));
  const name = text('principal') ?? text('author');
  return withoutEmpty({
    ...kind,
    type_uid: kind.class_uid * 100 + kind.activity_id,
    activity_name: event.activity,
    severity_id: SEVERITIES[event.severity],
    status_id: FAILURES.has(event.activity) ? 2 : 1,
    status_code: text('error_code'),
    status_detail: text('reason'),
    time: event.atMs,
    message: `${event.type} ${event.activity}`,
    metadata: {
      version: VERSION,
      uid: event.id,
      event_code: `${event.type}.${event.activity}`,
      sequence: fields['seq'],
      correlation_uid: fields['session_id'],
      product: { name: 'Sallyport', vendor_name: 'Sallyport', version: product.version },
    },
    actor: withoutEmpty({
      user:
        name === undefined
          ? undefined
          : withoutEmpty({ name, uid: text('subject'), domain: text('issuer'), groups: groupsOf(fields['groups']) }),
      session: fields['session_id'] === undefined ? undefined : { uid: fields['session_id'], issuer: text('issuer') },
    }),
    // Authentication requires the user itself.
    user: kind.class_uid === 3002 ? { name: name ?? 'unknown' } : undefined,
    src_endpoint: ip === undefined ? undefined : withoutEmpty({ ip, port }),
    dst_endpoint: fields['resource'] === undefined ? undefined : { name: fields['resource'], svc_name: fields['protocol'] },
    database: kind.class_uid === 6005 ? { name: fields['database'] ?? fields['resource'], type_id: 1, type: 'Relational' } : undefined,
    query_info: event.type === 'command' ? withoutEmpty({ query_string: fields['text'], uid: fields['fingerprint'] }) : undefined,
    api: kind.class_uid === 6003 ? { operation: event.activity, service: { name: 'sallyport' } } : undefined,
    resources: kind.class_uid === 6003 && fields['stream'] !== undefined ? [{ name: fields['stream'] }] : undefined,
    count: fields['rows'],
    duration: typeof fields['duration_us'] === 'number' ? Math.round(fields['duration_us'] / 1000) : undefined,
    unmapped: fields,
  });
}

function classOf(event: OutputEvent): OcsfClass {
  switch (event.type) {
    case 'session': {
      const activity_id = event.activity === 'ended' ? 2 : 1;
      return { class_uid: 3002, class_name: 'Authentication', category_uid: 3, category_name: 'Identity & Access Management', activity_id };
    }
    case 'command':
    case 'response': {
      const [statement = ''] = Array.isArray(event.fields['statements']) ? (event.fields['statements'] as unknown[]) : [];
      const first = String(statement);
      const activity_id = STATEMENTS[first] ?? (first.startsWith('create') ? 6 : first.startsWith('drop') ? 7 : 4);
      return { class_uid: 6005, class_name: 'Datastore Activity', category_uid: 6, category_name: 'Application Activity', activity_id };
    }
    case 'gap':
      return { class_uid: 6008, class_name: 'Application Error', category_uid: 6, category_name: 'Application Activity', activity_id: 1 };
    default:
      return { class_uid: 6003, class_name: 'API Activity', category_uid: 6, category_name: 'Application Activity', activity_id: 3 };
  }
}

function groupsOf(groups: unknown): { name: unknown }[] | undefined {
  return Array.isArray(groups) ? groups.map(name => ({ name: name as unknown })) : undefined;
}

function address(text: string | undefined): [ip?: string, port?: number] {
  const match = /^\[?([0-9a-fA-F.:]+?)\]?:(\d{1,5})$/.exec(text ?? '');
  return match === null ? [] : [match[1] ?? '', Number(match[2])];
}

function withoutEmpty(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined));
}
