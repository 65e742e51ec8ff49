/** Responses of a SAML provider that are what they should be, and all the ways that are known to make them something else. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { SamlSpec } from '@sallyport/shared/policy/model.ts';
import { finishSaml, startSaml } from './saml.ts';
import {
  assertionXml,
  encrypted,
  responseXml,
  type Said,
  type Signer,
  said,
  samlSigner,
  sealedTo,
  signed,
} from './saml-provider.testing.ts';

const acsUrl = 'http://127.0.0.1:8420/auth/saml';
let idp: Signer;
let other: Signer;
let ours: Signer;
let spec: SamlSpec;
before(async () => {
  [idp, other, ours] = await Promise.all([samlSigner('idp'), samlSigner('other'), samlSigner('ours')]);
  spec = {
    ...{
      issuer: 'https://idp.example/saml',
      signInUrl: 'https://idp.example/sso',
      certificates: [idp.certificatePem],
      entityId: 'sallyport',
    },
    ...{ subjectAttribute: '', groupsAttribute: 'groups', clockSkewMs: 30_000 },
  };
});

const base64 = (xml: string) => Buffer.from(xml).toString('base64');
const finish = (xml: string, over: Partial<SamlSpec> = {}, key?: string, requestId = '_request') =>
  finishSaml({ ...spec, ...over }, key, acsUrl, base64(xml), { requestId }, Date.now());
const good = (over: Partial<Said> = {}) => {
  const about = said(over);
  return responseXml(about, signed(assertionXml(about), idp, 'Assertion'));
};
const refusedAs = async (work: Promise<unknown>, why: RegExp, what = '') =>
  assert.rejects(work, error => {
    assert.ok(error instanceof GatewayError, String(error));
    assert.equal(error.code, 'SAML_REFUSED', what);
    assert.ok(why.test(error.message), `${what}: ${error.message}`);
    return true;
  });

describe('what a provider says', () => {
  test('a signed assertion names the person and their groups', async () => {
    const person = await finish(good());
    assert.deepEqual(person.principal, {
      ...{ kind: 'person', name: 'ann@example.com', issuer: spec.issuer, subject: 'ann@example.com', groups: ['support', 'dba'] },
      delegation: [],
    });
    assert.equal(person.providerSession, 'session-1');
    assert.match(person.assertionKey, /^[\w-]{43}$/);
  });

  test('response and assertion both signed; by the second certificate of a rotation', async () => {
    const xml = signed(good(), idp, 'Response');
    assert.equal((await finish(xml)).principal.name, 'ann@example.com');
    assert.equal((await finish(xml, { certificates: [other.certificatePem, idp.certificatePem] })).principal.name, 'ann@example.com');
  });

  test('the person by an attribute, by its name or its friendly one', async () => {
    for (const subjectAttribute of ['email', 'urn:oid:0.9.2342.19200300.100.1.3']) {
      const { principal } = await finish(good(), { subjectAttribute });
      assert.deepEqual([principal.name, principal.subject], ['ann.smith@example.com', 'ann@example.com']);
    }
    await refusedAs(finish(good(), { subjectAttribute: 'uid' }), /does not name the person/);
  });

  test('a transient NameID names nobody: the attribute is the subject then', async () => {
    const transient = { nameIdFormat: 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient', nameId: '_random' };
    await refusedAs(finish(good(transient)), /transient/);
    const { principal } = await finish(good(transient), { subjectAttribute: 'email' });
    assert.deepEqual([principal.name, principal.subject], ['ann.smith@example.com', 'ann.smith@example.com']);
  });

  test('an encrypted assertion, signed inside; with a key nothing else is taken', async () => {
    const about = said();
    const sealed = responseXml(about, await encrypted(signed(assertionXml(about), idp, 'Assertion'), ours));
    assert.equal((await finish(sealed, {}, ours.keyPem)).principal.name, 'ann@example.com');
    assert.equal((await finish(signed(sealed, idp, 'Response'), {}, ours.keyPem)).principal.name, 'ann@example.com');
    for (const [hash, content] of [
      ['sha256', 'aes256-gcm'],
      ['sha512', 'aes128-gcm'],
    ] as const) {
      const xml = responseXml(about, sealedTo(signed(assertionXml(about), idp, 'Assertion'), ours, hash, content));
      assert.equal((await finish(xml, {}, ours.keyPem)).principal.name, 'ann@example.com', hash);
      const mixed = xml.replace(`mgf1${hash}`, 'mgf1sha384');
      await refusedAs(finish(mixed, {}, ours.keyPem), /AES-GCM/, 'two hashes');
      const value = /<xenc:CipherValue>(.)/.exec(xml)?.[1] ?? '';
      const other = xml.replace(`<xenc:CipherValue>${value}`, `<xenc:CipherValue>${value === 'A' ? 'B' : 'A'}`);
      await refusedAs(finish(other, {}, ours.keyPem), /cannot be decrypted/, 'a changed ciphertext');
    }
    await refusedAs(finish(good(), {}, ours.keyPem), /not encrypted/);
    await refusedAs(finish(sealed), /no `decryptionKey`/);
    await refusedAs(finish(sealed, {}, other.keyPem), /cannot be decrypted/);
  });

  test('a request goes to the provider with our id and address, and no RelayState', async () => {
    const { url, pending } = await startSaml(spec, acsUrl);
    assert.equal(url.origin + url.pathname, 'https://idp.example/sso');
    assert.equal(url.searchParams.get('RelayState') ?? '', '');
    const { inflateRawSync } = await import('node:zlib');
    const xml = inflateRawSync(Buffer.from(url.searchParams.get('SAMLRequest') ?? '', 'base64')).toString();
    assert.ok(
      xml.includes(`ID="${pending.requestId}"`) && xml.includes(`AssertionConsumerServiceURL="${acsUrl}"`) && xml.includes('>sallyport<'),
    );
  });
});

/** What an attacker has: a response of their own that is good, and a text editor. Eve is signed, and wants to be the admin. */
describe('signature wrapping', () => {
  const eve = () => said({ nameId: 'eve@example.com', groups: ['none'] });
  const evilAssertion = (about: Said) => assertionXml({ ...about, nameId: 'admin@example.com', groups: ['admins'], assertionId: '_evil' });
  const signatureOf = (xml: string) => /<ds:Signature.*?<\/ds:Signature>/s.exec(xml)?.[0] ?? assert.fail('no signature');
  const within = (xml: string, where: RegExp, what: string) => xml.replace(where, found => found + what);
  const endOfIssuer = /<\/saml:Issuer>/;

  /** name → the message, made of Eve's. XSW1 and 2 are about signed responses, the others about signed assertions. */
  const patterns: Record<string, () => string> = {
    'XSW1: a changed response around the signed one, which is in the signature'() {
      const about = eve();
      const original = signed(responseXml(about, assertionXml(about)), idp, 'Response');
      const signature = signatureOf(original);
      const bare = original.replace(signature, '');
      return within(
        responseXml(about, evilAssertion(about), '_evil-response'),
        endOfIssuer,
        signature.replace('</ds:Signature>', `${bare}</ds:Signature>`),
      );
    },
    'XSW2: a changed response with the signed one before a detached signature'() {
      const about = eve();
      const original = signed(responseXml(about, assertionXml(about)), idp, 'Response');
      const signature = signatureOf(original);
      return within(responseXml(about, evilAssertion(about), '_evil-response'), endOfIssuer, original.replace(signature, '') + signature);
    },
    'XSW3: a changed assertion before the signed one'() {
      const about = eve();
      return responseXml(about, evilAssertion(about) + signed(assertionXml(about), idp, 'Assertion'));
    },
    'XSW4: the signed assertion within a changed one'() {
      const about = eve();
      const original = signed(assertionXml(about), idp, 'Assertion');
      return responseXml(about, evilAssertion(about).replace('</saml:Assertion>', `${original}</saml:Assertion>`));
    },
    'XSW5: a changed assertion with the signature, and the signed one behind it'() {
      const about = eve();
      const original = signed(assertionXml(about), idp, 'Assertion');
      const signature = signatureOf(original);
      return responseXml(about, within(evilAssertion(about), endOfIssuer, signature) + original.replace(signature, ''));
    },
    'XSW6: the signed assertion in the signature that a changed one has'() {
      const about = eve();
      const original = signed(assertionXml(about), idp, 'Assertion');
      const signature = signatureOf(original);
      const filled = signature.replace('</ds:Signature>', `${original.replace(signature, '')}</ds:Signature>`);
      return responseXml(about, within(evilAssertion(about), endOfIssuer, filled));
    },
    'XSW7: a changed assertion in Extensions'() {
      const about = eve();
      const original = signed(assertionXml(about), idp, 'Assertion');
      return responseXml(about, original).replace(
        '<samlp:Status>',
        `<samlp:Extensions>${evilAssertion(about)}</samlp:Extensions><samlp:Status>`,
      );
    },
    'XSW8: the signed assertion in an Object of the signature of a changed one'() {
      const about = eve();
      const original = signed(assertionXml(about), idp, 'Assertion');
      const signature = signatureOf(original);
      const filled = signature.replace('</ds:Signature>', `<ds:Object>${original.replace(signature, '')}</ds:Object></ds:Signature>`);
      return responseXml(about, within(evilAssertion(about), endOfIssuer, filled));
    },
    'two assertions of one id'() {
      const about = eve();
      const original = signed(assertionXml(about), idp, 'Assertion');
      return responseXml(about, evilAssertion(about).replace('_evil', about.assertionId) + original);
    },
    'a changed assertion with the id of the signed one, which is in Extensions'() {
      const about = eve();
      const original = signed(assertionXml(about), idp, 'Assertion');
      const evil = within(evilAssertion(about).replace('_evil', about.assertionId), endOfIssuer, signatureOf(original));
      return responseXml(about, evil).replace('<samlp:Status>', `<samlp:Extensions>${original}</samlp:Extensions><samlp:Status>`);
    },
    'an assertion of another namespace'() {
      const about = eve();
      const evil = evilAssertion(about).replace('urn:oasis:names:tc:SAML:2.0:assertion', 'urn:x');
      return responseXml(about, evil + signed(assertionXml(about), idp, 'Assertion'));
    },
    'a changed text under the old signature'() {
      return good({ nameId: 'eve@example.com' }).replace('eve@example.com', 'admin@example.com');
    },
    'a second signature in the assertion'() {
      const xml = good();
      return xml.replace(signatureOf(xml), signatureOf(xml) + signatureOf(xml));
    },
    'a second reference in the signature'() {
      const xml = good();
      const reference = /<ds:Reference.*?<\/ds:Reference>/s.exec(xml)?.[0] ?? assert.fail();
      return xml.replace(reference, reference + reference);
    },
    'a reference to the whole document'() {
      return good().replace(/URI="#[^"]*"/, 'URI=""');
    },
  };
  for (const [name, message] of Object.entries(patterns)) {
    test(name, async () => {
      // What it is made of is good: what is refused is the wrapping.
      assert.equal((await finish(good({ nameId: 'eve@example.com' }))).principal.name, 'eve@example.com');
      await refusedAs(finish(message()), /refused/);
    });
  }

  test('the same patterns inside an encrypted assertion', async () => {
    const about = eve();
    const original = signed(assertionXml(about), idp, 'Assertion');
    const signature = signatureOf(original);
    const bare = original.replace(signature, '');
    const inside = {
      nested: evilAssertion(about).replace('</saml:Assertion>', `${original}</saml:Assertion>`),
      'in the signature': within(evilAssertion(about), endOfIssuer, signature.replace('</ds:Signature>', `${bare}</ds:Signature>`)),
      'in an Object': within(
        evilAssertion(about),
        endOfIssuer,
        signature.replace('</ds:Signature>', `<ds:Object>${bare}</ds:Object></ds:Signature>`),
      ),
      'not signed': assertionXml(about),
      'by SHA-1': signed(assertionXml(about), idp, 'Assertion', { signatureAlgorithm: 'http://www.w3.org/2000/09/xmldsig#rsa-sha1' }),
      'with a comment': original.replace('eve@example.com', 'eve@example.com<!---->.evil'),
    };
    for (const [what, xml] of Object.entries(inside))
      await refusedAs(finish(responseXml(about, await encrypted(xml, ours)), {}, ours.keyPem), /refused/, what);
    // A plain changed assertion beside the encrypted one, and an unsigned one inside a signed response.
    const sealed = await encrypted(original, ours);
    await refusedAs(finish(responseXml(about, sealed + evilAssertion(about)), {}, ours.keyPem), /exactly one assertion/);
    const outer = signed(responseXml(about, await encrypted(assertionXml(about), ours)), idp, 'Response');
    await refusedAs(finish(outer, {}, ours.keyPem), /not signed/);
  });
});

describe('signatures', () => {
  test('none, of the response alone, by another key, by a key that the message brings along', async () => {
    const about = said();
    await refusedAs(finish(responseXml(about, assertionXml(about))), /not signed/);
    await refusedAs(finish(signed(responseXml(about, assertionXml(about)), idp, 'Response')), /not signed/);
    await refusedAs(finish(responseXml(about, signed(assertionXml(about), other, 'Assertion'))), /cannot be verified/);
    const own = signed(assertionXml(about), other, 'Assertion', { withCertificate: true });
    assert.ok(own.includes('X509Certificate'));
    await refusedAs(finish(responseXml(about, own)), /cannot be verified/);
    assert.equal((await finish(responseXml(about, own), { certificates: [other.certificatePem] })).principal.name, 'ann@example.com');
  });

  test('algorithms that are not on the list', async () => {
    const about = said();
    const by = (options: Parameters<typeof signed>[3]) => responseXml(about, signed(assertionXml(about), idp, 'Assertion', options));
    await refusedAs(finish(by({ signatureAlgorithm: 'http://www.w3.org/2000/09/xmldsig#rsa-sha1' })), /algorithm/);
    await refusedAs(finish(by({ digestAlgorithm: 'http://www.w3.org/2000/09/xmldsig#sha1' })), /algorithm/);
    // The public key as the secret of an HMAC: everybody has it.
    await refusedAs(finish(good().replace(/xmldsig-more#rsa-sha256/, 'xmldsig-more#hmac-sha256')), /algorithm/);
    await refusedAs(finish(by({ transforms: ['http://www.w3.org/2000/09/xmldsig#enveloped-signature'] })), /transforms/);
    const xslt = good().replace('http://www.w3.org/2000/09/xmldsig#enveloped-signature', 'http://www.w3.org/TR/1999/REC-xslt-19991116');
    await refusedAs(finish(xslt), /transforms/);
    const sealed = (content: string, transport?: string) =>
      encrypted(signed(assertionXml(about), idp, 'Assertion'), ours, content, transport);
    await refusedAs(finish(responseXml(about, await sealed('http://www.w3.org/2001/04/xmlenc#aes256-cbc')), {}, ours.keyPem), /AES-GCM/);
    const pkcs1 = await sealed('http://www.w3.org/2009/xmlenc11#aes256-gcm', 'http://www.w3.org/2001/04/xmlenc#rsa-1_5');
    await refusedAs(finish(responseXml(about, pkcs1), {}, ours.keyPem), /AES-GCM/);
  });
});

describe('documents', () => {
  test('comments, document types, entities, CDATA, instructions, and what is no XML', async () => {
    const xml = good({ nameId: 'admin@example.com.evil.example' });
    const cases: Record<string, string> = {
      'a comment in the NameID': xml.replace('admin@example.com.evil', 'admin@example.com<!---->.evil'),
      'a comment elsewhere': xml.replace('<samlp:Status>', '<!-- x --><samlp:Status>'),
      'a document type': `<!DOCTYPE r>${xml}`,
      'an entity': `<!DOCTYPE r [<!ENTITY a "admin@example.com">]>${xml.replace('admin@example.com', '&a;')}`,
      'an external entity': `<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]>${xml}`,
      'a bomb': `<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>${xml}`,
      CDATA: xml.replace('admin@example.com', '<![CDATA[admin@example.com]]>'),
      'an instruction in the NameID': xml.replace('admin@example.com.evil', 'admin@example.com<?x?>.evil'),
      'an element in the NameID': xml.replace('admin@example.com.evil', 'admin@example.com<x/>.evil'),
      'an entity that nobody declared': xml.replace('admin@example.com', '&admin;'),
      'two roots': xml + xml,
      'no end': xml.slice(0, -20),
      'no XML': 'hello',
      nothing: ' ',
      'an id twice': xml.replace('<samlp:Status>', '<samlp:Status ID="_response">'),
      'an Id twice, in other letters': xml.replace('<samlp:Status>', '<samlp:Status Id="_response">'),
      deep: xml.replace('<samlp:Status>', `${'<x>'.repeat(60)}${'</x>'.repeat(60)}<samlp:Status>`),
      long: xml.replace('<samlp:Status>', `<x>${'a'.repeat(300_000)}</x><samlp:Status>`),
    };
    for (const [what, message] of Object.entries(cases)) await refusedAs(finish(message), /refused/, what);
    await refusedAs(finishSaml(spec, undefined, acsUrl, 'no base64!', { requestId: '_request' }, Date.now()), /base64/);
    const broken = Buffer.from([0xff, 0xfe, 0x3c]).toString('base64');
    await refusedAs(finishSaml(spec, undefined, acsUrl, broken, { requestId: '_request' }, Date.now()), /no text/);
  });
});

describe('for whom, from whom, when', () => {
  const cases: [string, Partial<Said>, RegExp][] = [
    ['another audience', { entityId: 'another-service' }, /audience/],
    ['another issuer', { issuer: 'https://evil.example' }, /issuer/],
    ['another address', { recipient: 'https://elsewhere.example/saml' }, /another address/],
    ['another destination', { acsUrl: 'https://elsewhere.example/saml', recipient: acsUrl }, /another address/],
    ['another request', { requestId: '_another' }, /does not answer/],
    ['late', { startsMs: -600_000, endsMs: -31_000 }, /not valid any more|over|confirmation/],
    ['early', { startsMs: 60_000 }, /not valid yet|not yet valid/],
    ['a failure', { status: 'urn:oasis:names:tc:SAML:2.0:status:Responder' }, /provider says/],
    ['a name with a line break', { nameId: 'ann&#10;x@example.com' }, /refused/],
    ['no name', { nameId: '' }, /refused/],
  ];
  for (const [what, over, why] of cases) test(what, () => refusedAs(finish(good(over)), why));

  test('within the clock’s skew', async () => {
    assert.ok(await finish(good({ startsMs: 20_000 })));
    assert.ok(await finish(good({ endsMs: -20_000 })));
  });

  test('an answer to nothing, or of another issuer on the response alone', async () => {
    await refusedAs(finish(good().replace(' InResponseTo="_request"', '')), /does not answer/);
    await refusedAs(finish(good().replace('<saml:Issuer>https://idp.example', '<saml:Issuer>https://evil.example')), /issuer/);
    const about = said();
    const unrestricted = assertionXml(about).replace(/<saml:AudienceRestriction>.*<\/saml:AudienceRestriction>/, '');
    await refusedAs(finish(responseXml(about, signed(unrestricted, idp, 'Assertion'))), /audience|AudienceRestriction/);
    const endless = assertionXml(about).replace(/ NotOnOrAfter="[^"]*"/g, '');
    await refusedAs(finish(responseXml(about, signed(endless, idp, 'Assertion'))), /refused/);
  });
});
