/** Keys and signatures are those of OpenSSH's own tests (regress/unittests/sshsig/testdata); the security keys' are of real ones. */
import assert from 'node:assert/strict';
import { createHash, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import { GatewayError } from '../errors.ts';
import { encodePublicKey, makeSignature } from './keys.ts';
import { decodeRegisteredKey, parseRegisteredKeyLine, verifyArmoured, verifyRegistered } from './registered-key.ts';
import { SshWriter } from './wire.ts';

const OPENSSH: readonly { line: string; signature: string }[] = [
  {
    line: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIlizSIN3DQV78VPNjVvvwjgf+P5HqbPYCYu3BOMdjAE ED25519 test key',
    signature:
      'U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgiWLNIg3cNBXvxU82NW+/COB/4/keps9gJi7cE4x2MAQAAAAIdW5pdHRlc3QAAAAAAAAABnNoYTUxMgAAAFMAAAALc3NoLWVkMjU1MTkAAABAihQsbUzuNEFflk5Tw1+H9aLS7tZQk0RG8KW1DtOmDYYnWe3D3UKiG3fcJaDNg4vBWp1j1gLRiBMOF+gwYNegDg==',
  },
  {
    line: 'ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBN7LnfPBVdDfBT7KWUley1qo+rjzy0WYkrHpzbhGALXlj8g4K2bFmy81wblCbnHqWgjblv0FoBwUW641o9xEZtw= ECDSA test',
    signature:
      'U1NIU0lHAAAAAQAAAGgAAAATZWNkc2Etc2hhMi1uaXN0cDI1NgAAAAhuaXN0cDI1NgAAAEEE3sud88FV0N8FPspZSV7LWqj6uPPLRZiSsenNuEYAteWPyDgrZsWbLzXBuUJucepaCNuW/QWgHBRbrjWj3ERm3AAAAAh1bml0dGVzdAAAAAAAAAAGc2hhNTEyAAAAZQAAABNlY2RzYS1zaGEyLW5pc3RwMjU2AAAASgAAACEAycVNsTlE+XEZYyYiDxWZlliruf/pPMhEEMR/XLdQa4MAAAAhALQt+5gES7L3uKGptHB6UZQMuZ2WyI0C6FJs4v6AtMIU',
  },
  {
    line: 'ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQDfzqWaNEe0mnKPzsGtL6ywya29z/VI83SBdM+z2NnWFgCr3w9xrf9FhUzgdpK7oI7O1AnZmdkPdN79d4GchTaZ+69ASX4OLCKwZ42CVXJEKLvvzt88UV9zHNl8NrsQHapjxLehpIZkrxCrO4bCYYAiaOVBfPon4cJ394P/nwagJJKKsgQIVYIC3642s4L8SaADOxt9x9ohttXMDjS2WBTeE7YnjaR13PwKKwNO0MpAAEVw5pBnJxJ+fscM/5aBctdcFQj3BUzVOJ/V/70xfTzEiy8K8bOjvIuBttMUtIavlKQD606ti6gDtXx+B7SJ3/emdW0bVSLcju96N4DB/Qdmq0V4ESc7CQgkWZl4y0V45V/7iSLiHWsOoC9Kxw28y0uno5elsABMBMC4RYSQhAGXWueCcR7SIL2JT2K0oxbqongW0hvgAIfUShTXHy+qsV5yDaG+p+TkJkEkhtXbwkW4aNpzc7EFnXsWpvyWOiZSKvUasRPbPro0yBvlOMMPsFU= RSA test',
    signature:
      'U1NIU0lHAAAAAQAAAZcAAAAHc3NoLXJzYQAAAAMBAAEAAAGBAN/OpZo0R7Saco/Owa0vrLDJrb3P9UjzdIF0z7PY2dYWAKvfD3Gt/0WFTOB2krugjs7UCdmZ2Q903v13gZyFNpn7r0BJfg4sIrBnjYJVckQou+/O3zxRX3Mc2Xw2uxAdqmPEt6GkhmSvEKs7hsJhgCJo5UF8+ifhwnf3g/+fBqAkkoqyBAhVggLfrjazgvxJoAM7G33H2iG21cwONLZYFN4TtieNpHXc/AorA07QykAARXDmkGcnEn5+xwz/loFy11wVCPcFTNU4n9X/vTF9PMSLLwrxs6O8i4G20xS0hq+UpAPrTq2LqAO1fH4HtInf96Z1bRtVItyO73o3gMH9B2arRXgRJzsJCCRZmXjLRXjlX/uJIuIdaw6gL0rHDbzLS6ejl6WwAEwEwLhFhJCEAZda54JxHtIgvYlPYrSjFuqieBbSG+AAh9RKFNcfL6qxXnINob6n5OQmQSSG1dvCRbho2nNzsQWdexam/JY6JlIq9RqxE9s+ujTIG+U4ww+wVQAAAAh1bml0dGVzdAAAAAAAAAAGc2hhNTEyAAABlAAAAAxyc2Etc2hhMi01MTIAAAGACinEpBrQxZi0yOrrT6h98JFfZh0XXioih4fzmvtoV0yOReWClS+otGgXoJyZHcbaKNOjDwSMrIkUoX6OUJmtHYP0HRELnKw35m33LdBPXpFGS4tRS7NeSpvc04KtjT6jYXY9FjWy5hcn17Sxc/3DnJqLgJBur8acY7FeIzpWmKixPd/dGkEjdWoD9gO6szLczGuQgrOdYmSRL4yKadTJlVjz5OSeKSYYGQy33US2XQassRRNYf4e9byTA3DKvHa/OcTt7lFerea0kZdDpAboqffz7TYaw/hFskAYLIEdTW3aoXBGHSOvu8AkDOtb7qwuxGSQ27pjkDLDNsp1ceCFaCaQ6X83RZuKACv9JUBI5KaSf81e0bs0KezJKkhB9czeZ6dk96qISbgayEBnvhYgXvUDKtHn7HzNlCJKfK5ABhNxfGG2CD+NKqcrndwFgS1sQO3hbA84zPQb26ShBovT8ytHBmW1F8ZK4O9Bz61Q6EZKvs/u6xP6LUean/so5daa',
  },
  {
    line: 'sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIJsaDYXQYruc6bilCYDIK4YSOeG+zmrRO2M9t03//7LHAAAABHNzaDo= ED25519-SK test key',
    signature:
      'U1NIU0lHAAAAAQAAAEoAAAAac2stc3NoLWVkMjU1MTlAb3BlbnNzaC5jb20AAAAgmxoNhdBiu5zpuKUJgMgrhhI54b7OatE7Yz23Tf//sscAAAAEc3NoOgAAAAh1bml0dGVzdAAAAAAAAAAGc2hhNTEyAAAAZwAAABpzay1zc2gtZWQyNTUxOUBvcGVuc3NoLmNvbQAAAEAi+7eTjW/+LQ2M+sCD+KFtH1n7VFFJon/SZFsxODyV8cWTlFKj617Ys1Ur5TV6uaEXQhck8rBA2oQIHTPANLIPARI0Vng=',
  },
  {
    line: 'sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAAAIbmlzdHAyNTYAAABBBKDVa5jRcT5V7E6ysmwVi7HJWh7p5D+hebLPakQcpnD2ajJZ6G/4WzuhlYWnclWY63JspDp299Rlhq5AT86/g8AAAAAEc3NoOg== ECDSA-SK test key',
    signature:
      'U1NIU0lHAAAAAQAAAH8AAAAic2stZWNkc2Etc2hhMi1uaXN0cDI1NkBvcGVuc3NoLmNvbQAAAAhuaXN0cDI1NgAAAEEEoNVrmNFxPlXsTrKybBWLsclaHunkP6F5ss9qRBymcPZqMlnob/hbO6GVhadyVZjrcmykOnb31GWGrkBPzr+DwAAAAARzc2g6AAAACHVuaXR0ZXN0AAAAAAAAAAZzaGE1MTIAAAB3AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAABIAAAAIHohGwyy8iKT3zwd1TYA9V/Ioo7h/3zCJUtyq/Qigt/HAAAAIGzidTwq7D/kFa7Xjcp/KkdbIs4MfQpfAW/0OciajlpzARI0Vng=',
  },
];
const MESSAGE = 'This is a test, this is only a test';
const armoured = (base64: string) => `-----BEGIN SSH SIGNATURE-----\n${base64}\n-----END SSH SIGNATURE-----\n`;
const lineOf = (type: string, blob: Buffer) => `${type} ${blob.toString('base64')} me@here`;

test('signatures of every kind of key count, and none for another text, use or key', () => {
  for (const { line, signature } of OPENSSH) {
    const key = parseRegisteredKeyLine(line);
    assert.ok(verifyArmoured(key, 'unittest', armoured(signature), MESSAGE), line);
    assert.ok(!verifyArmoured(key, 'unittest', armoured(signature), `${MESSAGE}.`), line);
    assert.ok(!verifyArmoured(key, 'sallyport', armoured(signature), MESSAGE), line);
    for (const other of OPENSSH)
      if (other.line !== line) assert.ok(!verifyArmoured(parseRegisteredKeyLine(other.line), 'unittest', armoured(signature), MESSAGE));
    const bytes = Buffer.from(signature, 'base64');
    for (let at = 0; at < bytes.length; at += 3) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      assert.ok(!verifyArmoured(key, 'unittest', armoured(changed.toString('base64')), MESSAGE), `${line}, byte ${at}`);
    }
  }
  for (const none of ['', 'x', armoured('AAAA'), armoured(Buffer.from('SSHSIG').toString('base64'))])
    assert.ok(!verifyArmoured(parseRegisteredKeyLine(OPENSSH[0]?.line ?? ''), 'unittest', none, MESSAGE));
});

test('a security key that nobody touched has signed nothing', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
  const type = 'sk-ssh-ed25519@openssh.com';
  const key = decodeRegisteredKey(new SshWriter().string(type).string(raw).string('ssh:').finish());
  const data = Buffer.from('what is asked');
  const digest = (text: string | Buffer) => createHash('sha256').update(text).digest();
  for (const flags of [0, 1, 4, 5]) {
    const signed = new SshWriter().raw(digest('ssh:')).byte(flags).uint32(7).raw(digest(data)).finish();
    const signature = new SshWriter()
      .string(type)
      .string(sign(null, signed, privateKey))
      .byte(flags)
      .uint32(7)
      .finish();
    assert.equal(verifyRegistered(key, type, signature, data), (flags & 1) === 1, `flags ${flags}`);
    assert.ok(!verifyRegistered(key, type, Buffer.concat([signature, Buffer.of(0)]), data), 'nothing hangs behind it');
    assert.ok(!verifyRegistered(key, 'ssh-ed25519', signature, data), 'it is no plain key');
  }
});

test('weak keys, certificates and what is no key are refused, with what would do', () => {
  const rsa = (modulusLength: number) => encodePublicKey(generateKeyPairSync('rsa', { modulusLength }).publicKey);
  const refusedFor = (line: string, why: RegExp) =>
    assert.throws(
      () => parseRegisteredKeyLine(line),
      error => error instanceof GatewayError && why.test(error.message),
      line.slice(0, 60),
    );
  refusedFor(lineOf('ssh-rsa', rsa(2048)), /3072 bits at least here, and this one has 2048.*ssh-keygen -t ed25519/);
  refusedFor(lineOf('ssh-dss', new SshWriter().string('ssh-dss').string('x').finish()), /DSA keys are too weak.*ssh-keygen -t ed25519/);
  const certificate = 'ssh-ed25519-cert-v01@openssh.com';
  refusedFor(lineOf(certificate, new SshWriter().string(certificate).finish()), /KEY\.pub, not KEY-cert\.pub/);
  refusedFor(lineOf('ssh-new', new SshWriter().string('ssh-new').finish()), /"ssh-new" are not known here.*ssh-keygen/);
  refusedFor('-----BEGIN OPENSSH PRIVATE KEY-----', /private key/);
  refusedFor('hello', /no public key/);
  const good = generateKeyPairSync('ed25519');
  const blob = encodePublicKey(good.publicKey);
  refusedFor(lineOf('ssh-rsa', blob), /type at the beginning/);
  refusedFor(lineOf('ssh-ed25519', Buffer.concat([blob, Buffer.of(0)])), /longer/);
  const key = parseRegisteredKeyLine(lineOf('ssh-ed25519', blob));
  assert.equal(key.comment, 'me@here');
  const signature = makeSignature(good.privateKey, Buffer.from('x'));
  assert.ok(verifyRegistered(key, 'ssh-ed25519', signature, Buffer.from('x')));
  assert.ok(!verifyRegistered(key, 'rsa-sha2-512', signature, Buffer.from('x')));
  assert.ok(createPublicKey(good.privateKey).equals(key.key));
});
