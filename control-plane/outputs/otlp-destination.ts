/**
 * OpenTelemetry logs over OTLP/HTTP with JSON. The body is a sentence, everything else are attributes.
 * @see https://opentelemetry.io/docs/specs/otlp/#otlphttp
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Target } from './config.ts';
import type { Destination } from './destination.ts';
import type { OutputEvent, Severity } from './event.ts';
import { post } from './post.ts';

const SEVERITIES: Readonly<Record<Severity, [number, string]>> = { info: [9, 'INFO'], warning: [13, 'WARN'], high: [17, 'ERROR'] };

type AnyValue =
  | { stringValue: string }
  | { boolValue: boolean }
  | { intValue: string }
  | { doubleValue: number }
  | { arrayValue: { values: AnyValue[] } };

export function otlpDestination(target: Extract<Target, { kind: 'otlp' }>, version: string): Destination {
  return {
    async send(events, signal) {
      const answer = await post(target.url, Buffer.from(JSON.stringify(otlpRequest(events, version))), {
        headers: { 'content-type': 'application/json', ...target.headers },
        ca: target.ca,
        signal,
      });
      // Taken in part is not taken: what was rejected must not be lost.
      const rejected =
        answer === ''
          ? 0
          : Number(
              (JSON.parse(answer) as { partialSuccess?: { rejectedLogRecords?: string | number } }).partialSuccess?.rejectedLogRecords ?? 0,
            );
      if (rejected > 0)
        throw new GatewayError('OUTPUT_REFUSED', 'unavailable', `the collector rejected ${rejected} of ${events.length} log records`);
    },
    close: () => Promise.resolve(),
  };
}

export function otlpRequest(events: readonly OutputEvent[], version: string): unknown {
  const logRecords = events.map(event => {
    const [severityNumber, severityText] = SEVERITIES[event.severity];
    const attributes = { 'event.id': event.id, 'event.name': `sallyport.${event.type}.${event.activity}`, ...prefixed(event.fields) };
    return {
      timeUnixNano: `${event.atMs}000000`,
      severityNumber,
      severityText,
      body: { stringValue: `${event.type} ${event.activity}` },
      attributes: Object.entries(attributes).map(([key, value]) => ({ key, value: anyValue(value) })),
    };
  });
  const resource = {
    attributes: [
      { key: 'service.name', value: anyValue('sallyport') },
      { key: 'service.version', value: anyValue(version) },
    ],
  };
  return { resourceLogs: [{ resource, scopeLogs: [{ scope: { name: 'sallyport.evidence', version }, logRecords }] }] };
}

function prefixed(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [`sallyport.${name}`, value]));
}

function anyValue(value: unknown): AnyValue {
  if (Array.isArray(value)) return { arrayValue: { values: value.map(anyValue) } };
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value === 'number') return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  return { stringValue: typeof value === 'string' ? value : JSON.stringify(value) };
}
