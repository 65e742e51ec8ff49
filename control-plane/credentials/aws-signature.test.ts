import assert from 'node:assert/strict';
import { test } from 'node:test';
import { signedHeaders } from './aws-signature.ts';

// Of AWS's own test suite for Signature Version 4 (get-vanilla, post-vanilla, get-vanilla-query-order-key-case).
const keys = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
const nowMs = Date.UTC(2015, 7, 30, 12, 36, 0);

function signature(method: string, path: string): string | undefined {
  const request = { method, url: new URL(path, 'https://example.amazonaws.com'), headers: {}, body: '' };
  const { authorization } = signedHeaders(request, { region: 'us-east-1', service: 'service' }, keys, nowMs);
  assert.match(
    authorization ?? '',
    /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/20150830\/us-east-1\/service\/aws4_request, SignedHeaders=host;x-amz-date, /,
  );
  return authorization?.split('Signature=')[1];
}

test('the published vectors', () => {
  assert.equal(signature('GET', '/'), '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31');
  assert.equal(signature('POST', '/'), '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b');
  assert.equal(signature('GET', '/?Param2=value2&Param1=value1'), 'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500');
});

test('a session’s token is sent and signed', () => {
  const request = { method: 'POST', url: new URL('https://x.amazonaws.com/'), headers: { 'X-Amz-Target': 'a ' }, body: '{}' };
  const headers = signedHeaders(request, { region: 'eu-west-1', service: 's' }, { ...keys, sessionToken: 'T' }, nowMs);
  assert.equal(headers['x-amz-security-token'], 'T');
  assert.equal(headers['x-amz-target'], 'a');
  assert.match(headers['authorization'] ?? '', /SignedHeaders=host;x-amz-date;x-amz-security-token;x-amz-target,/);
});
