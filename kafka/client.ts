/**
 * What all our uses of the Kafka client share: the options by which it neither loses nor stalls, and what its errors mean.
 *
 * The settings are measured ones (docs/adr/0020-kafka-client.md): short timeouts, so that a dead leader is noticed; retries inside the
 * client with the same producer id and sequence, so that the broker recognises what it has already.
 */
import { isIP } from 'node:net';
import { type BaseOptions, GenericError, MultipleErrors } from '@platformatic/kafka';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import type { KafkaConfig } from './config.ts';

const retryDelayMs = 200;
const requestMsMax = 10_000;
const connectMsMax = 3_000;
const metadataMsMax = 1_000;

/** @param retries attempts after the first, inside one call of the client. */
export function clientOptions(config: KafkaConfig, retries: number): BaseOptions {
  return {
    clientId: config.clientId,
    bootstrapBrokers: [...config.brokers],
    retries,
    retryDelay: retryDelayMs,
    timeout: requestMsMax,
    requestTimeout: requestMsMax,
    connectTimeout: connectMsMax,
    metadataMaxAge: metadataMsMax,
    autocreateTopics: false,
    ...(config.tls === null ? {} : { tls: { ...config.tls, minVersion: 'TLSv1.2' as const }, tlsServerName: named(config.brokers) }),
    ...(config.sasl === null ? {} : { sasl: config.sasl }),
  };
}

/** Whether brokers are told which of their names is meant (SNI), which addresses have none of. The certificate is checked either way. */
function named(brokers: readonly string[]): boolean {
  return brokers.every(broker => isIP(broker.slice(0, broker.lastIndexOf(':')).replace(/^\[|\]$/g, '')) === 0);
}

/** Protocol error names anywhere in what the client threw, e.g. `MESSAGE_TOO_LARGE`. */
export function kafkaErrorIds(error: unknown): Set<string> {
  const found = new Set<string>();
  const look = (one: unknown): void => {
    if (!(one instanceof Error)) return;
    if ('apiId' in one && typeof one.apiId === 'string') found.add(one.apiId);
    if (one instanceof AggregateError) one.errors.forEach(look);
    if (one.cause !== undefined) look(one.cause);
  };
  look(error);
  return found;
}

/** The innermost reasons in one line: the client wraps them several deep. */
export function kafkaErrorText(error: unknown): string {
  const reasons = new Set<string>();
  const look = (one: unknown): void => {
    if (one instanceof MultipleErrors || one instanceof AggregateError) one.errors.forEach(look);
    else if (one instanceof GenericError && one.cause instanceof Error) look(one.cause);
    else reasons.add(errorText(one));
  };
  look(error);
  return [...reasons].slice(0, 3).join('; ') || errorText(error);
}

/** @returns the error as ours: unreachable, not let in, or refused. */
export function kafkaFault(error: unknown, doing: string): GatewayError {
  if (error instanceof GatewayError) return error;
  const ids = kafkaErrorIds(error);
  const text = kafkaErrorText(error);
  if (ids.has('SASL_AUTHENTICATION_FAILED') || /authentication/i.test(text)) {
    return new GatewayError('KAFKA_UNAUTHENTICATED', 'unauthenticated', `Kafka does not let us in (${doing}): ${text}`, { cause: error });
  }
  if ([...ids].some(id => id.endsWith('AUTHORIZATION_FAILED'))) {
    return new GatewayError('KAFKA_DENIED', 'denied', `Kafka does not allow this user to go on (${doing}): ${text}`, { cause: error });
  }
  return new GatewayError('KAFKA_UNAVAILABLE', 'unavailable', `Kafka cannot be used (${doing}): ${text}`, { cause: error });
}
