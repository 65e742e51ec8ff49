import assert from 'node:assert/strict';
import { test } from 'node:test';
import { presignedAddress, sha256, signedHeaders } from './aws-signature.ts';

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

// Of Amazon S3's documentation: a PUT of an object.
test('an object that is put', () => {
  const body = Buffer.from('Welcome to Amazon S3.');
  const { authorization } = signedHeaders(
    {
      method: 'PUT',
      url: new URL('https://examplebucket.s3.amazonaws.com/test%24file.text'),
      headers: {
        ...{ date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
        'x-amz-content-sha256': sha256(body),
      },
      body,
    },
    { region: 'us-east-1', service: 's3' },
    { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' },
    Date.UTC(2013, 4, 24),
  );
  assert.match(authorization ?? '', /Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd$/);
});

test('a session’s token is sent and signed', () => {
  const request = { method: 'POST', url: new URL('https://x.amazonaws.com/'), headers: { 'X-Amz-Target': 'a ' }, body: '{}' };
  const headers = signedHeaders(request, { region: 'eu-west-1', service: 's' }, { ...keys, sessionToken: 'T' }, nowMs);
  assert.equal(headers['x-amz-security-token'], 'T');
  assert.equal(headers['x-amz-target'], 'a');
  assert.match(headers['authorization'] ?? '', /SignedHeaders=host;x-amz-date;x-amz-security-token;x-amz-target,/);
});

// Of botocore 1.44.5's generate_db_auth_token, with its clock set.
test('an address that is good by itself is what AWS’s own library makes', () => {
  const at = { nowMs: Date.UTC(2016, 10, 7, 17, 39, 33), expiresSeconds: 900 };
  const scope = (region: string) => ({ region, service: 'rds-db' });
  // What is signed is in order; the order that it is sent in does not matter.
  const sorted = (address: string) => address.split('&').sort();
  assert.deepEqual(
    sorted(
      presignedAddress(
        'prod-instance.us-east-1.rds.amazonaws.com:3306',
        { Action: 'connect', DBUser: 'someusername' },
        scope('us-east-1'),
        { accessKeyId: 'ACCESS_KEY', secretAccessKey: 'SECRET_KEY' },
        at,
      ),
    ),
    sorted(
      'prod-instance.us-east-1.rds.amazonaws.com:3306/?Action=connect&DBUser=someusername&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ACCESS_KEY%2F20161107%2Fus-east-1%2Frds-db%2Faws4_request&X-Amz-Date=20161107T173933Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature=ccadd1d556c946b18b3941769e3625e44bc0b608137cdce852ca79b73dd72e8c',
    ),
  );
  assert.deepEqual(
    sorted(
      presignedAddress(
        'crm.c1.eu-central-1.rds.amazonaws.com:5432',
        { Action: 'connect', DBUser: "app user/+é'(x)*~" },
        scope('eu-central-1'),
        { ...keys, accessKeyId: 'ASIAEXAMPLE', sessionToken: 'tok/en+with==' },
        at,
      ),
    ),
    sorted(
      'crm.c1.eu-central-1.rds.amazonaws.com:5432/?Action=connect&DBUser=app%20user%2F%2B%C3%A9%27%28x%29%2A~&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAEXAMPLE%2F20161107%2Feu-central-1%2Frds-db%2Faws4_request&X-Amz-Date=20161107T173933Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Security-Token=tok%2Fen%2Bwith%3D%3D&X-Amz-Signature=c9bfe0d18ac9a4eb886ec677f7b3af9c8d499388f9dc3d669eb20e0c05f5c263',
    ),
  );
});
