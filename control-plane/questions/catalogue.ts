/**
 * The questions that auditors ask, in the order in which a report shows them. docs/guides/compliance.md is made from this list
 * (generate-guide.ts), so that the page, the command line, the API and the console ask the same.
 *
 * Conditions on optional values are written `({person:String} = '' OR principal = {person:String})`: the store folds the first half
 * away before it plans, so that its index is used.
 *
 * What is added up over commands comes from the days' roll-ups, and lists of commands look only at days that have some
 * (control-plane/rollups).
 */
import { CLASSES, COLUMNS, FINDINGS, ofPeriod, onDays, onLargestDays, ROWS_CHANGED, USE, WRITES } from '../rollups/rollups.ts';
import type { Question } from './question.ts';

const PERIOD = "at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}";
const STARTED = "started_at >= {since:DateTime64(6, 'UTC')} AND started_at < {until:DateTime64(6, 'UTC')}";
const PERSON = "({person:String} = '' OR principal = {person:String})";
const RESOURCE = "({resource:String} = '' OR resource = {resource:String})";
/** `_` is a letter of names, and stands for itself. */
const COLUMN = "column LIKE replaceAll({column:String}, '_', '\\\\_')";
/** The same of a command's whole list, before it is taken apart. */
const READS_COLUMN = `if(position({column:String}, '%') = 0, has(columns_read, {column:String}), arrayExists(column -> ${COLUMN}, columns_read))`;

/** The control plane's objects as they are now: the last accepted event of each stream, without those that were deleted. */
const OBJECTS = `SELECT kind, name, argMax(type, log_offset) AS last_type, argMax(payload, log_offset) AS last_payload
    FROM sallyport.control_events WHERE accepted GROUP BY kind, name HAVING last_type LIKE '%Applied'`;

export const QUESTIONS: readonly Question[] = [
  {
    name: 'access',
    title: 'Who used which resource, and how much?',
    description: 'One row for each person or program and resource, with the first and the last use, and what was refused or masked.',
    controls: {
      'SOC 2': ['CC6.1', 'CC6.3'],
      'ISO 27001': ['A.5.15', 'A.8.15'],
      'PCI DSS 4': ['10.2.1.1'],
      HIPAA: ['164.312(b)', '164.308(a)(1)(ii)(D)'],
    },
    parameters: ['since', 'until', 'person', 'resource'],
    chart: { kind: 'bar', x: 'principal', y: 'commands' },
    query: `SELECT principal, any(principal_kind) AS kind, resource, uniqExactMerge(session_ids) AS sessions, sum(asked) AS commands,
  sum(denied) AS refused, sum(held) AS held, sum(row_sum) AS rows_seen, sum(masked_sum) AS masked_values, min(first_at) AS first_use, max(last_at) AS last_use
FROM ${ofPeriod(USE, PERIOD, [PERSON, RESOURCE])} AS use
GROUP BY principal, resource
ORDER BY commands DESC, principal, resource`,
  },
  {
    name: 'who-read',
    title: 'Who read this column, when, masked or in clear, and who approved it?',
    description:
      'One row for each command that returned rows and read the column. `masked` is 1 when a column rule masked the value; `approvers` says who released a command that was held.',
    controls: {
      'SOC 2': ['CC6.1', 'CC7.2'],
      'ISO 27001': ['A.8.11', 'A.8.15'],
      'PCI DSS 4': ['10.2.1.1', '10.2.2'],
      HIPAA: ['164.312(b)', '164.528'],
    },
    parameters: ['since', 'until', 'column', 'person', 'resource'],
    required: ['column'],
    query: `SELECT at, principal, principal_kind, delegation, resource, arrayJoin(arrayFilter(column -> ${COLUMN}, columns_read)) AS column,
  has(data_classes, concat('column:', column)) AS masked, rows, approvers, approval_id, role, client_address, text, session_id, seq
FROM sallyport.commands
WHERE status IN ('ok', 'error', 'cancelled', 'aborted') AND rows > 0 AND ${READS_COLUMN} AND ${PERIOD} AND ${PERSON} AND ${RESOURCE}
  AND ${onDays(COLUMNS, 'times', [COLUMN, PERSON, RESOURCE])}
ORDER BY at, session_id, seq, column`,
  },
  {
    name: 'columns-read',
    title: 'Which columns were read by whom, masked and in clear?',
    description: 'One row for each column and reader: the answer to a request for the recipients of personal data.',
    controls: {
      'SOC 2': ['CC6.1', 'P6.1'],
      'ISO 27001': ['A.5.34', 'A.8.11'],
      'PCI DSS 4': ['3.4.1', '7.2.5'],
      HIPAA: ['164.312(b)', '164.528'],
    },
    parameters: ['since', 'until', 'column', 'person', 'resource'],
    query: `SELECT resource, column, principal, any(principal_kind) AS kind, sum(seen.times) AS times, sumIf(seen.times, masked) AS masked_times,
  sumIf(seen.times, NOT masked) AS clear_times, sum(row_sum) AS rows_seen, min(first_at) AS first_use, max(last_at) AS last_use
FROM ${ofPeriod(COLUMNS, PERIOD, [COLUMN, PERSON, RESOURCE])} AS seen
GROUP BY resource, column, principal
ORDER BY resource, column, rows_seen DESC, principal`,
  },
  {
    name: 'refused',
    title: 'What was refused: logins and commands?',
    description:
      'One row for each refusal with the rule or the code, and the reason. For a login that failed the client was told nothing of the reason.',
    controls: {
      'SOC 2': ['CC6.1', 'CC7.2'],
      'ISO 27001': ['A.8.5', 'A.8.16'],
      'PCI DSS 4': ['10.2.1.4'],
      HIPAA: ['164.308(a)(5)(ii)(C)', '164.312(b)'],
    },
    parameters: ['since', 'until', 'person', 'resource'],
    query: `SELECT at, what, principal, principal_kind, client_address, resource, agent, rule, reason, text, session_id, seq
FROM (
    SELECT at, 'command' AS what, principal, principal_kind, client_address, resource, agent, rule, reason, text, session_id, seq
    FROM sallyport.commands
    WHERE status = 'refused' AND ${PERIOD} AND ${PERSON} AND ${RESOURCE} AND ${onDays(USE, 'refused', [PERSON, RESOURCE])}
    UNION ALL
    SELECT started_at AS at, 'login' AS what, principal, principal_kind, client_address, resource, agent, code AS rule, reason, '' AS text, session_id, 0 AS seq
    FROM sallyport.sessions
    WHERE status = 'refused' AND ${STARTED} AND ${PERSON} AND ${RESOURCE}
)
ORDER BY at, session_id, seq`,
  },
  {
    name: 'login-failures',
    title: 'From where did logins fail, how often, and why?',
    description: 'One row for each address and code. Many codes from one address, or one code from many, are worth a look.',
    controls: {
      'SOC 2': ['CC6.6', 'CC7.2'],
      'ISO 27001': ['A.8.5', 'A.8.16'],
      'PCI DSS 4': ['10.2.1.4', '8.3.4'],
      HIPAA: ['164.308(a)(5)(ii)(C)'],
    },
    parameters: ['since', 'until', 'resource'],
    chart: { kind: 'bar', x: 'address', y: 'failures' },
    query: `SELECT replaceRegexpOne(client_address, ':[0-9]+$', '') AS address, code, resource, count() AS failures, uniqExact(principal) AS principals,
  min(started_at) AS first, max(started_at) AS last
FROM sallyport.sessions
WHERE status = 'refused' AND ${STARTED} AND ${RESOURCE}
GROUP BY address, code, resource
ORDER BY failures DESC, address, code`,
  },
  {
    name: 'held',
    title: 'What was held for a human, who decided, how, and after how long?',
    description: 'One row for each approval that was asked for, with who gave or refused it and the reason they left.',
    controls: {
      'SOC 2': ['CC6.3', 'CC8.1'],
      'ISO 27001': ['A.5.3', 'A.8.2'],
      'PCI DSS 4': ['7.2.3', '6.5.1'],
      HIPAA: ['164.308(a)(4)(ii)(B)'],
    },
    parameters: ['since', 'until', 'person', 'resource'],
    query: `SELECT requested_at, state, principal, resource, rule, approvers, deniers, decided_at,
  if(decided_at IS NULL, NULL, dateDiff('second', requested_at, assumeNotNull(decided_at))) AS seconds, reason, text, approval_id, session_id
FROM sallyport.approvals
WHERE requested_at >= {since:DateTime64(6, 'UTC')} AND requested_at < {until:DateTime64(6, 'UTC')} AND ${PERSON} AND ${RESOURCE}
ORDER BY requested_at, approval_id`,
  },
  {
    name: 'approvers',
    title: 'Who approves, how much, how fast, and how often do they refuse?',
    description: 'One row for each approver. A person who never refuses and decides within seconds does not read what they approve.',
    controls: { 'SOC 2': ['CC5.1', 'CC6.3'], 'ISO 27001': ['A.5.3', 'A.8.2'], 'PCI DSS 4': ['7.2.3'], HIPAA: ['164.308(a)(4)(ii)(B)'] },
    parameters: ['since', 'until', 'resource'],
    chart: { kind: 'bar', x: 'approver', y: 'approved' },
    query: `SELECT approver, countIf(has(approvers, approver)) AS approved, countIf(has(deniers, approver)) AS refused,
  quantileExact(0.5)(dateDiff('second', requested_at, assumeNotNull(decided_at))) AS median_seconds, uniqExact(principal) AS for_people
FROM sallyport.approvals ARRAY JOIN arrayDistinct(arrayConcat(approvers, deniers)) AS approver
WHERE decided_at IS NOT NULL AND requested_at >= {since:DateTime64(6, 'UTC')} AND requested_at < {until:DateTime64(6, 'UTC')} AND ${RESOURCE}
GROUP BY approver
ORDER BY approved DESC, approver`,
  },
  {
    name: 'self-approval',
    title: 'Did anybody approve their own command?',
    description: 'Sallyport does not let them; no row is the proof.',
    controls: { 'SOC 2': ['CC5.1', 'CC6.3'], 'ISO 27001': ['A.5.3'], 'PCI DSS 4': ['7.2.3'], HIPAA: ['164.308(a)(4)(ii)(B)'] },
    parameters: ['since', 'until'],
    emptyIsGood: true,
    query: `SELECT requested_at, approval_id, principal, approvers, resource, text
FROM sallyport.approvals
WHERE has(approvers, principal) AND requested_at >= {since:DateTime64(6, 'UTC')} AND requested_at < {until:DateTime64(6, 'UTC')}
ORDER BY requested_at`,
  },
  {
    name: 'standing-access-unused',
    title: 'Which standing access was not used?',
    description:
      'One row for each role that is in force, with its members, and when somebody last came in by it. `used` is 0 where nobody did in the period: access that can be taken away.',
    controls: {
      'SOC 2': ['CC6.2', 'CC6.3'],
      'ISO 27001': ['A.5.18', 'A.8.2'],
      'PCI DSS 4': ['7.2.4', '7.2.5.1', '8.2.6'],
      HIPAA: ['164.308(a)(4)(ii)(C)'],
    },
    parameters: ['since', 'until'],
    query: `SELECT roles.name AS role, JSONExtract(roles.last_payload, 'manifest', 'spec', 'members', 'groups', 'Array(String)') AS groups,
  JSONExtract(roles.last_payload, 'manifest', 'spec', 'members', 'serviceAccounts', 'Array(String)') AS service_accounts,
  JSONExtract(roles.last_payload, 'manifest', 'spec', 'members', 'principals', 'Array(String)') AS persons,
  JSONExtractRaw(roles.last_payload, 'manifest', 'spec', 'resources') AS resources,
  use.sessions > 0 AS used, use.sessions AS sessions, use.people AS people, if(use.sessions > 0, use.last_use, NULL) AS last_use
FROM (${OBJECTS}) AS roles
LEFT JOIN (
    SELECT role, count() AS sessions, uniqExact(principal) AS people, max(started_at) AS last_use
    FROM sallyport.sessions WHERE status != 'refused' AND ${STARTED} GROUP BY role
) AS use ON use.role = roles.name
WHERE roles.kind = 'role'
ORDER BY used, last_use, role`,
  },
  {
    name: 'last-use',
    title: 'Who has not used their access for a long time?',
    description: 'One row for each principal, resource and role that were ever used, the one that rested longest first.',
    controls: { 'SOC 2': ['CC6.2', 'CC6.3'], 'ISO 27001': ['A.5.18'], 'PCI DSS 4': ['8.2.6', '7.2.4'], HIPAA: ['164.308(a)(3)(ii)(C)'] },
    parameters: ['person', 'resource'],
    query: `SELECT principal, any(principal_kind) AS kind, resource, role, max(started_at) AS last_use, dateDiff('day', last_use, now()) AS days_ago, count() AS sessions
FROM sallyport.sessions
WHERE status != 'refused' AND ${PERSON} AND ${RESOURCE}
GROUP BY principal, resource, role
ORDER BY last_use, principal, resource, role`,
  },
  {
    name: 'leaver',
    title: 'What did a person who left do, and did they come back?',
    description:
      'One row for each session of the person, the latest first. `after_leaving` is 1 for one that began after they left: there should be none but refused ones.',
    controls: { 'SOC 2': ['CC6.2'], 'ISO 27001': ['A.5.11', 'A.6.5'], 'PCI DSS 4': ['8.2.5'], HIPAA: ['164.308(a)(3)(ii)(C)'] },
    parameters: ['since', 'until', 'person', 'left'],
    required: ['person', 'left'],
    query: `SELECT started_at, started_at >= {left:DateTime64(6, 'UTC')} AS after_leaving, status, resource, role, client_address, commands, bytes_to_client, code, reason, session_id
FROM sallyport.sessions
WHERE principal = {person:String} AND ${STARTED}
ORDER BY started_at DESC, session_id`,
  },
  {
    name: 'policy-changes',
    title: 'Who changed who may do what, when, from where, and why?',
    description:
      'Every accepted event about roles, guards, data and audit policies, resources, identity providers and accounts, in the order of the log.',
    controls: {
      'SOC 2': ['CC8.1', 'CC6.3'],
      'ISO 27001': ['A.8.32', 'A.8.9'],
      'PCI DSS 4': ['10.2.1.5', '6.5.1', '7.2.1'],
      HIPAA: ['164.308(a)(1)(ii)(D)', '164.316(b)'],
    },
    parameters: ['since', 'until', 'person'],
    query: `SELECT log_offset, at, author, author_address, type, kind, name, reason, payload
FROM sallyport.control_events
WHERE accepted AND kind NOT IN ('approval', 'agent', 'evidence') AND ${PERIOD} AND ({person:String} = '' OR author = {person:String})
ORDER BY log_offset`,
  },
  {
    name: 'credential-changes',
    title: 'When were the credentials of resources and the ways to sign in changed, and by whom?',
    description:
      'Accepted events about credentials, identity providers and service accounts, and agents that joined or were revoked. Secrets are not in the store.',
    controls: { 'SOC 2': ['CC6.1'], 'ISO 27001': ['A.5.17'], 'PCI DSS 4': ['10.2.1.5', '8.6.3'], HIPAA: ['164.308(a)(5)(ii)(D)'] },
    parameters: ['since', 'until'],
    query: `SELECT log_offset, at, author, author_address, type, kind, name, reason
FROM sallyport.control_events
WHERE accepted AND kind IN ('credential', 'identity-provider', 'service-account', 'agent') AND ${PERIOD}
ORDER BY log_offset`,
  },
  {
    name: 'break-glass',
    title: "When was the installation's own administrator token used?",
    description:
      'Every accepted event whose author is the administrator token of the installation instead of a person: set-up, automation, and emergencies. Each wants an explanation.',
    controls: {
      'SOC 2': ['CC6.1', 'CC7.3'],
      'ISO 27001': ['A.8.2', 'A.8.18'],
      'PCI DSS 4': ['8.2.2', '10.2.1.2'],
      HIPAA: ['164.312(a)(2)(ii)'],
    },
    parameters: ['since', 'until'],
    query: `SELECT log_offset, at, author_address, type, kind, name, reason
FROM sallyport.control_events
WHERE accepted AND author = 'admin' AND ${PERIOD}
ORDER BY log_offset`,
  },
  {
    name: 'exempt-access',
    title: 'Who saw protected columns in clear?',
    description:
      'One row for each reader and column that a command returned rows of without masking it, though a column rule masked it for others in the period.',
    controls: {
      'SOC 2': ['CC6.1', 'C1.1'],
      'ISO 27001': ['A.8.11', 'A.8.12'],
      'PCI DSS 4': ['3.4.1', '7.2.5'],
      HIPAA: ['164.312(a)(1)', '164.502(b)'],
    },
    parameters: ['since', 'until', 'person', 'resource'],
    query: `SELECT resource, column, principal, any(principal_kind) AS kind, any(role) AS role, sum(seen.times) AS times, sum(row_sum) AS rows_seen,
  groupUniqArrayArray(approved_by) AS approvers, min(first_at) AS first_use, max(last_at) AS last_use
FROM ${ofPeriod(COLUMNS, PERIOD, ['NOT masked', PERSON, RESOURCE])} AS seen
WHERE (resource, column) IN (SELECT resource, column FROM ${ofPeriod(COLUMNS, PERIOD, ['masked'])})
GROUP BY resource, column, principal
ORDER BY rows_seen DESC, resource, column, principal`,
  },
  {
    name: 'masked',
    title: 'How many values were masked, of which class, for whom?',
    description:
      'One row for each class and principal. A class `column:…` is a rule on that column; any other is the detector that found the value. A command that had several classes counts for each.',
    controls: {
      'SOC 2': ['C1.1', 'P4.1'],
      'ISO 27001': ['A.8.11', 'A.8.12'],
      'PCI DSS 4': ['3.4.1', '3.5.1'],
      HIPAA: ['164.502(b)', '164.312(a)(1)'],
    },
    parameters: ['since', 'until', 'person', 'resource'],
    chart: { kind: 'bar', x: 'class', y: 'commands' },
    query: `SELECT class, principal, resource, sum(times) AS commands, sum(masked_sum) AS values_in_these_commands, min(first_at) AS first, max(last_at) AS last
FROM ${ofPeriod(CLASSES, PERIOD, [PERSON, RESOURCE])} AS found
GROUP BY class, principal, resource
ORDER BY commands DESC, class, principal`,
  },
  {
    name: 'unlabelled',
    title: 'Where do detectors find personal data or secrets that no column rule names?',
    description:
      'One row for each detector and column read by commands in which it fired. Name the column in a DataPolicy, and it is masked by rule.',
    controls: { 'SOC 2': ['C1.1'], 'ISO 27001': ['A.5.12', 'A.8.12'], 'PCI DSS 4': ['12.5.2', 'A3.2.5'], HIPAA: ['164.308(a)(1)(ii)(A)'] },
    parameters: ['since', 'until', 'resource'],
    query: `SELECT resource, column, detector, sum(times) AS commands, uniqExact(principal) AS people, max(last_at) AS last
FROM ${ofPeriod(FINDINGS, PERIOD, [RESOURCE])} AS found
GROUP BY resource, column, detector
ORDER BY commands DESC, resource, column, detector`,
  },
  {
    name: 'inference',
    title: 'Who filtered or sorted by a protected column, and so could infer its values?',
    description: 'One row for each command whose conditions or order depend on a protected column.',
    controls: { 'SOC 2': ['CC7.2'], 'ISO 27001': ['A.8.12'], 'PCI DSS 4': ['10.2.1.1'], HIPAA: ['164.312(b)'] },
    parameters: ['since', 'until', 'person', 'resource'],
    query: `SELECT at, principal, resource, inferences, decision, rule, rows, text, session_id, seq
FROM sallyport.commands
WHERE notEmpty(inferences) AND ${PERIOD} AND ${PERSON} AND ${RESOURCE} AND ${onDays(USE, 'inferring', [PERSON, RESOURCE])}
ORDER BY at, session_id, seq`,
  },
  {
    name: 'changes',
    title: 'Who changed data, and how much?',
    description: 'One row for each command that writes, with the number of rows it changed and who approved it.',
    controls: {
      'SOC 2': ['CC8.1', 'PI1.4'],
      'ISO 27001': ['A.8.15', 'A.8.32'],
      'PCI DSS 4': ['10.2.1.2', '10.2.1.7'],
      HIPAA: ['164.312(c)(1)'],
    },
    parameters: ['since', 'until', 'person', 'resource'],
    query: `SELECT at, principal, delegation, resource, statements, objects, decision, status, rows, tag, approvers, text, session_id, seq
FROM sallyport.commands
WHERE hasAny(statements, ${WRITES}) AND ${PERIOD} AND ${PERSON} AND ${RESOURCE} AND ${onDays(USE, 'writing', [PERSON, RESOURCE])}
ORDER BY at, session_id, seq`,
  },
  {
    name: 'programs',
    title: 'What did programs do, on whose behalf?',
    description:
      'One row for each workload, or program that acted for a person, and kind of statement. `delegation` says who acted for whom.',
    controls: { 'SOC 2': ['CC6.1'], 'ISO 27001': ['A.5.16', 'A.8.2'], 'PCI DSS 4': ['7.2.5', '8.6.1'], HIPAA: ['164.312(a)(2)(i)'] },
    parameters: ['since', 'until', 'person', 'resource'],
    query: `SELECT principal, delegation, resource, statement_kinds, sum(asked) AS commands,
  sum(denied) AS refused, sum(row_sum) AS rows_seen, sum(masked_sum) AS masked_values, max(last_at) AS last_use
FROM ${ofPeriod(USE, PERIOD, ["(principal_kind = 'workload' OR notEmpty(delegation))", PERSON, RESOURCE])} AS use
GROUP BY principal, delegation, resource, statement_kinds
ORDER BY commands DESC, principal, statement_kinds`,
  },
  {
    name: 'large-results',
    title: 'Who took much out at once?',
    description: 'One row for each command that returned at least `rows` rows, the largest first.',
    controls: {
      'SOC 2': ['CC7.2', 'C1.1'],
      'ISO 27001': ['A.8.12', 'A.8.16'],
      'PCI DSS 4': ['10.4.1'],
      HIPAA: ['164.312(b)', '164.502(b)'],
    },
    parameters: ['since', 'until', 'rows', 'person', 'resource'],
    query: `SELECT at, principal, principal_kind, resource, rows, bytes, masked_values, columns_read, client_address, text, session_id, seq
FROM sallyport.commands
WHERE rows >= {rows:UInt64} AND NOT hasAny(statements, ${ROWS_CHANGED}) AND ${PERIOD} AND ${PERSON} AND ${RESOURCE}
  AND ${onLargestDays([PERSON, RESOURCE])}
ORDER BY rows DESC, at, session_id, seq`,
  },
  {
    name: 'activity',
    title: 'How much was done on each day?',
    description: 'One row for each day: commands, people, refusals, holds, masked values.',
    controls: { 'SOC 2': ['CC7.2'], 'ISO 27001': ['A.8.16'], 'PCI DSS 4': ['10.4.1'], HIPAA: ['164.308(a)(1)(ii)(D)'] },
    parameters: ['since', 'until', 'person', 'resource'],
    chart: { kind: 'line', x: 'day', y: 'commands' },
    query: `SELECT day, sum(asked) AS commands, uniqExact(principal) AS people, sum(denied) AS refused, sum(held) AS held, sum(masked_sum) AS masked_values
FROM ${ofPeriod(USE, PERIOD, [PERSON, RESOURCE])} AS use
GROUP BY day
ORDER BY day`,
  },
  {
    name: 'completeness',
    title: 'Is anything missing from the record?',
    description:
      'One row for each declared gap, each record that could not be read or that contradicts another, and each session with fewer records than its numbers say. `sallyport evidence verify` proves the rest.',
    controls: {
      'SOC 2': ['CC7.2', 'PI1.5'],
      'ISO 27001': ['A.8.15'],
      'PCI DSS 4': ['10.2.1.6', '10.3.2', '10.3.4'],
      HIPAA: ['164.312(b)', '164.312(c)(2)'],
    },
    parameters: ['since', 'until'],
    emptyIsGood: true,
    query: `SELECT * FROM (
    SELECT 'gap' AS what, session_id AS subject, concat('records ', toString(from_seq), ' to ', toString(to_seq), ': ', reason) AS detail, at
    FROM sallyport.gaps WHERE ${PERIOD}
    UNION ALL
    SELECT 'unreadable record' AS what, concat(topic, '/', toString(log_offset), '/', toString(log_index)) AS subject, concat(code, ': ', reason) AS detail, at
    FROM sallyport.dead_letters WHERE ${PERIOD}
    UNION ALL
    SELECT 'missing records' AS what, session_id AS subject, concat('of ', toString(max(seq) - min(seq) + 1), ' records there are ', toString(uniqExact(seq))) AS detail, max(at) AS at
    FROM (SELECT session_id, seq, at FROM sallyport.record_rows WHERE ${PERIOD}) GROUP BY session_id HAVING uniqExact(seq) != max(seq) - min(seq) + 1
)
ORDER BY at, what, subject`,
  },
];

export function findQuestion(name: string): Question | undefined {
  return QUESTIONS.find(question => question.name === name);
}
