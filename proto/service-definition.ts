/**
 * Makes a gRPC library's service definition of a generated service, for servers and clients alike: names, streaming, and codecs.
 * It knows no gRPC library; the result has the shape that `@grpc/grpc-js` takes.
 */
import { type DescMessage, type DescService, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';

export interface MethodDefinition<Input extends DescMessage, Output extends DescMessage> {
  path: string;
  requestStream: boolean;
  responseStream: boolean;
  requestSerialize(message: MessageShape<Input>): Buffer;
  requestDeserialize(bytes: Buffer): MessageShape<Input>;
  responseSerialize(message: MessageShape<Output>): Buffer;
  responseDeserialize(bytes: Buffer): MessageShape<Output>;
}

/**
 * @returns one entry for each method, under its name as in the generated service, e.g. `connect`.
 *   Byte fields of deserialised messages are views into the received bytes.
 */
export function serviceDefinition<Service extends DescService>(
  service: Service,
): { [Name in keyof Service['method']]: MethodDefinition<Service['method'][Name]['input'], Service['method'][Name]['output']> } {
  const methods: Record<string, MethodDefinition<DescMessage, DescMessage>> = {};
  for (const method of service.methods) {
    methods[method.localName] = {
      path: `/${service.typeName}/${method.name}`,
      requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
      responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
      requestSerialize: message => encoded(method.input, message),
      requestDeserialize: bytes => received(method.input, bytes),
      responseSerialize: message => encodedOnce(method.output, message),
      responseDeserialize: bytes => fromBinary(method.output, bytes),
    };
  }
  return methods as ReturnType<typeof serviceDefinition<Service>>;
}

/** Of requests: what they came as. */
const cameAs = new WeakMap<object, Buffer>();

function received<Schema extends DescMessage>(schema: Schema, bytes: Buffer): MessageShape<Schema> {
  const message = fromBinary(schema, bytes);
  cameAs.set(message, bytes);
  return message;
}

/** The bytes that a deserialised request was made of; undefined for any other message. Whoever changes a request must not use them. */
export function receivedBytes(message: object): Buffer | undefined {
  return cameAs.get(message);
}

function encoded<Schema extends DescMessage>(schema: Schema, message: MessageShape<Schema>): Buffer {
  const bytes = toBinary(schema, message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Bytes of messages that are frozen: they go to many streams, and cannot change between. */
const shared = new WeakMap<object, Buffer>();

function encodedOnce<Schema extends DescMessage>(schema: Schema, message: MessageShape<Schema>): Buffer {
  if (!Object.isFrozen(message)) return encoded(schema, message);
  let bytes = shared.get(message);
  if (bytes === undefined) {
    bytes = encoded(schema, message);
    shared.set(message, bytes);
  }
  return bytes;
}
