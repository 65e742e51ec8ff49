/**
 * Asks the session store one of the catalogue's questions: values are checked, sent as parameters of the query, and the answer is
 * bounded. Not here: who may ask (http/), how it is shown.
 */
import { type ClickHouseClient, ClickHouseError } from '@clickhouse/client';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { rolledUpDays } from '../rollups/period.ts';
import { PARAMETERS, type ParameterName, type Question } from './question.ts';

export interface Answer {
  columns: { name: string; type: string }[];
  /** Values as the store's JSON gives them; 64-bit numbers as numbers where they are exact, else as text. */
  rows: unknown[][];
  /** There are more rows than were asked for. */
  truncated: boolean;
  /** What each parameter was, as the store got it. */
  parameters: Partial<Record<ParameterName, string>>;
}

/** An answer is read by people or put into a report; who wants all of a large one narrows the period, or asks the store itself. */
export const answerRowsMax = 100_000;
const timeoutSeconds = 60;
/** For the client: the store gives up first, and says so. */
export const questionTimeoutMs = (timeoutSeconds + 5) * 1000;
const memoryBytesMax = 2 * 1024 ** 3;

/**
 * @param given values by parameter name, as typed.
 * @param nowMs what "90d ago" counts from.
 * @returns what the store gets.
 * @throws {GatewayError} PARAMETER_UNKNOWN, PARAMETER_MISSING, PARAMETER_INVALID.
 */
export function questionParameters(
  question: Question,
  given: Readonly<Record<string, string>>,
  nowMs: number,
): Partial<Record<ParameterName, string>> {
  for (const name of Object.keys(given)) {
    if (!question.parameters.some(known => known === name)) {
      throw invalid(
        'PARAMETER_UNKNOWN',
        `\`${question.name}\` takes no \`${name}\`; it takes ${question.parameters.join(', ') || 'nothing'}.`,
      );
    }
  }
  const parameters: Partial<Record<ParameterName, string>> = {};
  for (const name of question.parameters) {
    const value = given[name];
    if (value === undefined && question.required?.includes(name)) {
      throw invalid('PARAMETER_MISSING', `\`${question.name}\` needs \`${name}\`: ${PARAMETERS[name].what}.`);
    }
    parameters[name] = checked(name, value ?? PARAMETERS[name].absent, nowMs);
  }
  const { since, until } = parameters;
  if (since !== undefined && until !== undefined && since >= until) {
    throw invalid('PARAMETER_INVALID', '`since` must be before `until`.');
  }
  return parameters;
}

function checked(name: ParameterName, value: string, nowMs: number): string {
  switch (PARAMETERS[name].type) {
    case 'String':
      if (value.length > 512) throw invalid('PARAMETER_INVALID', `\`${name}\` is longer than 512 characters.`);
      return value;
    case 'UInt64':
      if (!/^\d{1,15}$/.test(value)) throw invalid('PARAMETER_INVALID', `\`${name}\` is a whole number, not \`${value}\`.`);
      return value;
    default:
      return moment(name, value, nowMs);
  }
}

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000, y: 31_536_000_000 };

/** `90d` is ninety days ago; else a date or a time of RFC 3339. @returns as the store reads it, in UTC. */
function moment(name: string, value: string, nowMs: number): string {
  const ago = /^(\d{1,6})([smhdwy])$/.exec(value);
  const atMs = ago === null ? rfc3339(value) : nowMs - Number(ago[1]) * (unitMs[ago[2] ?? ''] ?? Number.NaN);
  if (!Number.isFinite(atMs) || atMs > 4_102_444_800_000 || atMs < 0) {
    throw invalid(
      'PARAMETER_INVALID',
      `\`${name}\` is a time like 2026-11-01, 2026-11-01T08:00:00Z, or how long ago like 90d, 12h; not \`${value}\`.`,
    );
  }
  return new Date(atMs).toISOString().replace('T', ' ').replace('Z', '');
}

function rfc3339(value: string): number {
  if (/^\d{4}-\d{2}-\d{2}$/.test(value)) return Date.parse(`${value}T00:00:00Z`);
  return /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/.test(value) ? Date.parse(value) : Number.NaN;
}

/**
 * @param limit at most so many rows.
 * @throws {GatewayError} STORE_UNAVAILABLE, and ANSWER_TOO_COSTLY when the store gave up on it.
 */
export async function ask(
  client: ClickHouseClient,
  question: Question,
  parameters: Partial<Record<ParameterName, string>>,
  limit: number,
): Promise<Answer> {
  try {
    const { since, until } = parameters;
    const rows = async (query: string, query_params: Record<string, unknown>) =>
      await (await client.query({ query, query_params, format: 'JSONEachRow' })).json<{ day: string; build: string }>();
    const rolledUp = since === undefined || until === undefined ? {} : await rolledUpDays(rows, since, until);
    const result = await client.query({
      query: `${question.query}\nLIMIT {answerLimit:UInt32}`,
      query_params: { ...parameters, ...rolledUp, answerLimit: limit + 1 },
      format: 'JSONCompact',
      clickhouse_settings: {
        max_execution_time: timeoutSeconds,
        max_memory_usage: String(memoryBytesMax),
        output_format_json_quote_64bit_integers: 0,
        date_time_output_format: 'iso',
      },
    });
    const { meta = [], data } = await result.json<unknown[]>();
    return { columns: meta, rows: data.slice(0, limit), truncated: data.length > limit, parameters };
  } catch (cause) {
    if (
      cause instanceof ClickHouseError &&
      ['TIMEOUT_EXCEEDED', 'MEMORY_LIMIT_EXCEEDED', 'TOO_MANY_ROWS_OR_BYTES'].includes(cause.type ?? '')
    ) {
      throw invalid(
        'ANSWER_TOO_COSTLY',
        `\`${question.name}\` takes too long over this period: narrow it (\`since\`, \`until\`), or ask for one person or resource.`,
      );
    }
    throw new GatewayError('STORE_UNAVAILABLE', 'unavailable', `The session store does not answer: ${errorText(cause)}`, { cause });
  }
}

function invalid(code: string, message: string): GatewayError {
  return new GatewayError(code, 'invalid', message);
}
