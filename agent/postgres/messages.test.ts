import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GatewayError } from '@sallyport/shared/errors.ts';
import * as codec from './messages.ts';

/** Payloads laid out by hand from the specification, type and length cut off. Real servers and drivers are in session.int.test.ts. */
const GOLDEN = {
  startup: hex('00030000 75736572 00 616c69636500 6461746162617365 00 61707000 00'),
  parse: hex('733100 73656c656374202431 00 0001 00000017'),
  bind: hex('00 733100 0001 0000 0002 00000001 37 ffffffff 0001 0001'),
  describe: hex('50 00'),
  execute: hex('00 00000005'),
  rowDescription: hex('0002 696400 0000400f 0001 00000017 0004 ffffffff 0000 656d61696c00 0000400f 0003 00000019 ffff ffffffff 0001'),
  errorResponse: hex('534552524f5200 564552524f5200 433432503031 00 4d72656c6174696f6e00 00'),
  copyOut: hex('00 0002 0000 0000'),
  parameterStatus: hex('54696d655a6f6e6500 55544300'),
  backendKeyData: hex('0000162e 8a4b5f21'),
  notification: hex('0000162e 6e65777300 68656c6c6f00'),
  commandComplete: hex('53454c4543542033 00'),
  ready: hex('49'),
  sasl: hex('0000000a 534352414d2d5348412d32353600 00'),
  parameterDescription: hex('0002 00000017 00000019'),
};

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex');
}

const decoders: Record<keyof typeof GOLDEN, (buffer: Buffer, start: number, end: number) => unknown> = {
  startup: codec.decodeStartup,
  parse: codec.decodeParse,
  bind: codec.decodeBind,
  describe: codec.decodeTarget,
  execute: codec.decodeExecute,
  rowDescription: codec.decodeRowDescription,
  errorResponse: codec.decodeErrorFields,
  copyOut: codec.decodeCopyResponse,
  parameterStatus: codec.decodeParameterStatus,
  backendKeyData: codec.decodeBackendKeyData,
  notification: codec.decodeNotification,
  commandComplete: codec.decodeCommandComplete,
  ready: codec.decodeReadyForQuery,
  sasl: codec.decodeAuthentication,
  parameterDescription: codec.decodeParameterDescription,
};

const cases = Object.entries(GOLDEN) as [keyof typeof GOLDEN, Buffer][];

describe('decoding', () => {
  test('one of each', () => {
    assert.deepEqual(
      [...codec.decodeStartup(GOLDEN.startup, 0, GOLDEN.startup.length).parameters],
      [
        ['user', 'alice'],
        ['database', 'app'],
      ],
    );
    const parse = codec.decodeParse(GOLDEN.parse, 0, GOLDEN.parse.length);
    assert.equal(parse.statement, 's1');
    assert.equal(GOLDEN.parse.toString('utf8', parse.textStart, parse.textEnd), 'select $1');
    assert.deepEqual(parse.parameterTypes, [23]);
    const bind = codec.decodeBind(GOLDEN.bind, 0, GOLDEN.bind.length);
    assert.deepEqual(
      { ...bind, first: GOLDEN.bind.toString('utf8', bind.parameters[0], bind.parameters[1]) },
      {
        portal: '',
        statement: 's1',
        parameterFormats: [0],
        parameters: [14, 15, -1, -1],
        resultFormats: [1],
        first: '7',
      },
    );
    assert.deepEqual(codec.decodeRowDescription(GOLDEN.rowDescription, 0, GOLDEN.rowDescription.length), [
      { name: 'id', tableOid: 0x400f, columnNumber: 1, typeOid: 23, format: 0 },
      { name: 'email', tableOid: 0x400f, columnNumber: 3, typeOid: 25, format: 1 },
    ]);
    assert.deepEqual(codec.decodeAuthentication(GOLDEN.sasl, 0, GOLDEN.sasl.length), { kind: 'sasl', mechanisms: ['SCRAM-SHA-256'] });
    assert.equal(codec.decodeCommandComplete(GOLDEN.commandComplete, 0, 9), 'SELECT 3');
  });

  test('a payload that is cut anywhere is an error, and nothing behind its end is read', () => {
    for (const [name, payload] of cases) {
      // Bytes behind the payload are another message's: they must not make a cut one whole.
      const buffer = Buffer.concat([payload, payload]);
      for (let end = 0; end < payload.length; end++) {
        assert.throws(() => decoders[name](buffer, 0, end), GatewayError, `${name} cut at ${end}`);
      }
      assert.doesNotThrow(() => decoders[name](buffer, 0, payload.length), name);
    }
  });

  test('trailing bytes are an error', () => {
    for (const [name, payload] of cases) {
      if (name === 'backendKeyData') continue; // a longer key is a key of protocol 3.2
      assert.throws(() => decoders[name](Buffer.concat([payload, Buffer.from([0])]), 0, payload.length + 1), GatewayError, name);
    }
  });

  test('counts and lengths that lie', () => {
    assert.throws(() => codec.decodeBind(hex('00 00 0000 7fff'), 0, 6), GatewayError);
    assert.throws(() => codec.decodeBind(hex('00 00 0000 0001 7fffffff 00'), 0, 11), GatewayError);
    assert.throws(() => codec.decodeBind(hex('00 00 0000 0001 fffffffe 0000'), 0, 12), GatewayError);
    assert.throws(() => codec.decodeBind(hex('00 00 0001 0002 0000 0000'), 0, 10), GatewayError);
    assert.throws(() => codec.decodeRowDescription(hex('ffff'), 0, 2), GatewayError);
    assert.throws(() => codec.queryTextEnd(Buffer.from('select 1'), 0, 8), GatewayError);
    assert.throws(() => codec.queryTextEnd(Buffer.from('select\0 1\0'), 0, 10), GatewayError, 'a NUL inside of the text');
    assert.throws(() => codec.decodeReadyForQuery(Buffer.from('X'), 0, 1), GatewayError);
  });

  test('random bytes give a message or a GatewayError, in bounded memory', () => {
    let seed = 1;
    const random = () => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return seed / 0x7fffffff;
    };
    for (let i = 0; i < 4000; i++) {
      const buffer = Buffer.from(
        Array.from({ length: Math.floor(random() * 40) }, () => Math.floor(random() * (random() < 0.5 ? 4 : 256))),
      );
      for (const decode of Object.values(decoders)) {
        try {
          decode(buffer, 0, buffer.length);
        } catch (error) {
          assert.ok(error instanceof GatewayError, String(error));
        }
      }
    }
  });
});

describe('encoding', () => {
  test('what is encoded is decoded to the same', () => {
    const startup = codec.encodeStartup(codec.PROTOCOL_3_2, [['user', 'ä']]);
    assert.equal(startup.readInt32BE(0), startup.length);
    assert.deepEqual([...codec.decodeStartup(startup, 4, startup.length).parameters], [['user', 'ä']]);
    const parse = codec.encodeParse('n', 'select 1');
    assert.equal(codec.decodeParse(parse, 5, parse.length).statement, 'n');
    const bind = codec.encodeBind('p', 's');
    assert.deepEqual(codec.decodeBind(bind, 5, bind.length), {
      portal: 'p',
      statement: 's',
      parameterFormats: [],
      parameters: [],
      resultFormats: [],
    });
    const error = codec.encodeErrorResponse([
      ['C', '42501'],
      ['M', 'a\0b'],
    ]);
    assert.deepEqual(codec.decodeErrorFields(error, 5, error.length), [
      ['C', '42501'],
      ['M', 'ab'],
    ]);
    const execute = codec.encodeExecute('p', 7);
    assert.deepEqual(codec.decodeExecute(execute, 5, execute.length), { portal: 'p', maxRows: 7 });
  });

  test('bytes as the specification has them', () => {
    assert.equal(codec.encodeSSLRequest().toString('hex'), '0000000804d2162f');
    assert.equal(codec.encodeCancelRequest(5, Buffer.from([1, 2, 3, 4])).toString('hex'), '0000001004d2162e0000000501020304');
    assert.equal(codec.encodeSync().toString('hex'), '5300000004');
    assert.equal(codec.encodeAuthenticationOk().toString('hex'), '520000000800000000');
    assert.equal(codec.encodeReadyForQuery('T').toString('hex'), '5a0000000554');
    assert.equal(codec.encodeNegotiateProtocolVersion(2, ['_pq_.x']).toString('hex'), '760000001300030002000000015f70715f2e7800');
  });
});
