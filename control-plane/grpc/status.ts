/** The gRPC form of errors: the one place where kinds become status codes. What is not ours is told as internal, without its text. */
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { type ErrorKind, GatewayError } from '@sallyport/shared/errors.ts';

const codes: Record<ErrorKind, status> = {
  invalid: status.INVALID_ARGUMENT,
  unauthenticated: status.UNAUTHENTICATED,
  denied: status.PERMISSION_DENIED,
  notFound: status.NOT_FOUND,
  conflict: status.FAILED_PRECONDITION,
  protocol: status.INVALID_ARGUMENT,
  unavailable: status.UNAVAILABLE,
  internal: status.INTERNAL,
};

/** The stable code travels in the metadatum `sallyport-code`. */
export function toStatus(error: unknown): ServiceError {
  const known =
    error instanceof GatewayError ? error : new GatewayError('INTERNAL', 'internal', 'The control plane failed; its log has the cause.');
  const metadata = new Metadata();
  metadata.set('sallyport-code', known.code);
  const details = known.kind === 'internal' ? 'The control plane failed; its log has the cause.' : known.message;
  return Object.assign(new Error(details), { code: codes[known.kind], details, metadata });
}
