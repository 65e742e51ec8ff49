import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { compileDetectors } from '@sallyport/shared/detectors/engine.ts';
import { accountSecretMatches, mintAccountSecret, parseAccountSecret } from './account-secret.ts';
import { mintJoinToken } from './join-token.ts';

test('a secret is known by its hash alone', () => {
  const { text, id, secretHash } = mintAccountSecret();
  const parsed = parseAccountSecret(text);
  assert.equal(parsed?.id, id);
  assert.ok(!text.includes(secretHash));
  assert.ok(accountSecretMatches(parsed?.secret ?? '', secretHash));
  assert.ok(!accountSecretMatches(parseAccountSecret(mintAccountSecret().text)?.secret ?? '', secretHash));
  assert.ok(!accountSecretMatches('', secretHash) && !accountSecretMatches(parsed?.secret ?? '', ''));
  for (const wrong of ['', text.slice(0, -1), `${text}A`, ` ${text}`, `${text}\n`, text.replace('sps_', 'spj_'), text.toUpperCase()])
    assert.equal(parseAccountSecret(wrong), null, wrong);
});

test('our own detectors find our own secrets', () => {
  const detectors = compileDetectors(['sallyport-token']);
  const fingerprint = randomBytes(32).toString('base64url');
  for (const secret of [
    mintAccountSecret().text,
    mintJoinToken('0123456789abcdef0123456789abcdef', fingerprint).token,
    `spa_${randomBytes(32).toString('base64url')}`,
  ]) {
    const line = Buffer.from(`export SALLYPORT_TOKEN=${secret} # keep`);
    const spans = detectors.scan(line, 0, line.length);
    assert.deepEqual(
      spans.map(({ start, end, detector }) => [line.subarray(start, end).toString(), detector]),
      [[secret, 'sallyport-token']],
    );
  }
});
