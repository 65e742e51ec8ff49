import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KafkaFlagValues, kafkaArguments, kafkaConfig } from './config.ts';

const invalid = (flags: KafkaFlagValues, env: Record<string, string>, message: RegExp) =>
  assert.throws(() => kafkaConfig(flags, env, 'test'), { code: 'KAFKA_OPTION_INVALID', message });

test('flags and variables make one configuration; without brokers there is none', () => {
  assert.equal(kafkaConfig({}, {}, 'ingest'), null);
  const made = kafkaConfig(
    { 'kafka-tls': true, 'kafka-user': 'u' },
    { SALLYPORT_KAFKA: 'a:1, b:2', SALLYPORT_KAFKA_PASSWORD: 'p' },
    'ingest',
  );
  assert.deepEqual(made, {
    brokers: ['a:1', 'b:2'],
    clientId: 'sallyport-ingest',
    tls: {},
    sasl: { mechanism: 'SCRAM-SHA-512', username: 'u', password: 'p' },
    topics: { control: 'sallyport.control', records: 'sallyport.records', presence: 'sallyport.presence' },
    compression: 'zstd',
    recordsPartitions: 12,
  });
  assert.deepEqual(kafkaArguments({ kafka: 'a:1', 'kafka-tls': true }), ['--kafka', 'a:1', '--kafka-tls']);
});

test('what would send records or a password in the clear, or cannot be meant, is refused', () => {
  invalid({ kafka: 'broker.example:9092' }, {}, /must not cross a network in the clear/);
  assert.equal(kafkaConfig({ kafka: 'broker.example:9092', 'kafka-plaintext': true }, {}, 'test')?.tls, null);
  assert.equal(kafkaConfig({ kafka: '127.0.0.1:9092' }, {}, 'test')?.tls, null);
  invalid({ kafka: '127.0.0.1:9092,far:1' }, {}, /^far:1 is not on this machine/);
  invalid({ kafka: 'localhost:1', 'kafka-user': 'u' }, {}, /needs a password/);
  invalid({ kafka: 'localhost:1', 'kafka-mechanism': 'GSSAPI' }, {}, /must be one of SCRAM-SHA-512/);
  invalid({ kafka: 'localhost' }, {}, /must be HOST:PORT/);
  invalid({ kafka: 'localhost:1', 'kafka-partitions': '0' }, {}, /from 1 to 10000/);
  invalid({ kafka: 'localhost:1', 'kafka-ca': '/nowhere/ca.pem' }, {}, /--kafka-ca: \/nowhere\/ca\.pem cannot be read/);
});
