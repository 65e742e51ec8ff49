/**
 * The console as a SAML 2.0 service provider: AuthnRequest by redirect, response by POST. node-saml makes requests and verifies
 * signatures with the certificates of the manifest; what a message must look like, and what an assertion says, is saml-document.ts's,
 * decryption saml-decrypt.ts's. What
 * is read is the text that was signed, as verification gives it back, and nothing else of the message.
 *
 * Deliberately absent: requests signed by us, sign-in that the provider begins (there is no request that it could answer), single logout,
 * artifacts. RelayState is neither sent nor read: where the browser came from travels in its own cookie.
 *
 * @see SAML 2.0 profiles section 4.1
 */
import { createHash, randomBytes } from 'node:crypto';
import { errorText } from '@sallyport/shared/errors.ts';
import type { Principal, SamlSpec } from '@sallyport/shared/policy/model.ts';
import { decryptAssertion } from './saml-decrypt.ts';
import { checkDecrypted, checkResponse, type Expected, readAssertion, refused } from './saml-document.ts';
import { type CacheItem, type CacheProvider, type SamlProvider, samlProvider } from './xml-libraries.ts';

/** What the browser keeps, sealed, between leaving for the provider and coming back. */
export interface PendingSaml {
  requestId: string;
}

export interface SamlPerson {
  principal: Principal;
  /** Digest that names the assertion: it is good once. */
  assertionKey: string;
  /** After this the assertion is refused for its age alone. */
  assertionEndsAtMs: number;
  providerSession: string | undefined;
  /** Of the session at the provider, where it says. */
  sessionEndsAtMs: number | undefined;
}

const responseCharactersMax = 400_000;
const nameCharactersMax = 256;
const groupsMax = 1000;

/** Where the browser goes to sign in. */
export async function startSaml(spec: SamlSpec, acsUrl: string): Promise<{ url: URL; pending: PendingSaml }> {
  const requestId = `_${randomBytes(20).toString('hex')}`;
  const saml = provider(spec, acsUrl, requestId, 0);
  return { url: new URL(await saml.getAuthorizeUrlAsync('', undefined, {})), pending: { requestId } };
}

/**
 * Judges the response that the browser came back with. Whether its assertion was used before is the caller's to say.
 *
 * @param key PEM; with it, only encrypted assertions are taken.
 * @param response base64, as the form has it.
 * @throws {GatewayError} SAML_REFUSED.
 */
export async function finishSaml(
  spec: SamlSpec,
  key: string | undefined,
  acsUrl: string,
  response: string,
  { requestId }: PendingSaml,
  nowMs: number,
): Promise<SamlPerson> {
  const expected: Expected = { issuer: spec.issuer, entityId: spec.entityId, acsUrl, requestId, nowMs, clockSkewMs: spec.clockSkewMs };
  const encrypted = checkResponse(textOf(response), expected);
  if (key === undefined && encrypted !== null) refused('its assertion is encrypted, and the manifest has no `decryptionKey`');
  if (key !== undefined && encrypted === null) refused('its assertion is not encrypted, and the manifest has a `decryptionKey`');
  let message = response;
  if (key !== undefined && encrypted !== null) {
    const assertion = decryptAssertion(encrypted, key);
    checkDecrypted(assertion);
    // What was encrypted stands for itself: its signature is over itself alone, whatever is around it.
    message = Buffer.from(bareResponse(requestId, assertion.replace(/^\s*<\?xml [^>]*\?>/, ''))).toString('base64');
  }
  let signed: string | undefined;
  try {
    const { profile } = await provider(spec, acsUrl, requestId, nowMs).validatePostResponseAsync({ SAMLResponse: message });
    signed = profile?.getAssertionXml?.();
  } catch (cause) {
    refused(`it cannot be verified (${errorText(cause).slice(0, 200)})`, cause);
  }
  if (signed === undefined) refused('it has no assertion');
  const assertion = readAssertion(signed, expected);
  if (assertion.id === '') refused('its assertion has no id');
  return {
    principal: personOf(spec, assertion.nameId, assertion.isTransient, assertion.attributes),
    assertionKey: createHash('sha256')
      .update(JSON.stringify([spec.issuer, assertion.id]))
      .digest('base64url'),
    assertionEndsAtMs: assertion.notOnOrAfterMs + spec.clockSkewMs,
    providerSession: assertion.sessionIndex,
    sessionEndsAtMs: assertion.sessionNotOnOrAfterMs,
  };
}

function personOf(
  { issuer, subjectAttribute, groupsAttribute }: SamlSpec,
  nameId: string,
  isTransient: boolean,
  attributes: ReadonlyMap<string, readonly string[]>,
): Principal {
  const named = subjectAttribute === '' ? [nameId] : (attributes.get(subjectAttribute) ?? []);
  const [name] = named;
  if (name === undefined || named.length !== 1 || !isName(name)) refused('it does not name the person, or names two');
  if (isTransient && subjectAttribute === '') refused('its NameID is transient, which names nobody: set `subjectAttribute`');
  const subject = isTransient ? name : nameId;
  if (!isName(subject)) refused('its NameID is none');
  const groups = [...new Set(attributes.get(groupsAttribute) ?? [])];
  if (groups.length > groupsMax || !groups.every(isName)) refused('its groups are too many, or no names');
  return { kind: 'person', name, issuer, subject, groups, delegation: [] };
}

function isName(text: string): boolean {
  return text !== '' && text.length <= nameCharactersMax && !/\p{Cc}/u.test(text);
}

function bareResponse(requestId: string, assertion: string): string {
  return `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_${randomBytes(16).toString('hex')}" Version="2.0" InResponseTo="${requestId}">${assertion}</samlp:Response>`;
}

/** One for each message: it remembers nothing. */
function provider(spec: SamlSpec, acsUrl: string, requestId: string, nowMs: number): SamlProvider {
  return samlProvider({
    idpCert: spec.certificates,
    issuer: spec.entityId,
    audience: spec.entityId,
    entryPoint: spec.signInUrl,
    callbackUrl: acsUrl,
    identifierFormat: null,
    disableRequestedAuthnContext: true,
    wantAssertionsSigned: true,
    // The response may be signed too; its signature says nothing about the assertion that the assertion's own does not.
    wantAuthnResponseSigned: false,
    acceptedClockSkewMs: spec.clockSkewMs,
    validateInResponseTo: 'always',
    cacheProvider: onlyRequest(requestId, nowMs),
    generateUniqueId: () => requestId,
  });
}

/** The one request that a response may answer; it came back in the browser's own sealed cookie. */
function onlyRequest(requestId: string, nowMs: number): CacheProvider {
  const value = new Date(nowMs).toISOString();
  return {
    saveAsync: (key): Promise<CacheItem | null> => Promise.resolve(key === requestId ? { value, createdAt: nowMs } : null),
    getAsync: key => Promise.resolve(key === requestId ? value : null),
    removeAsync: key => Promise.resolve(key),
  };
}

function textOf(response: string): string {
  if (response.length > responseCharactersMax) refused('it is too long');
  if (!/^[A-Za-z0-9+/\s]+={0,2}\s*$/.test(response)) refused('it is not base64');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(response, 'base64'));
  } catch (cause) {
    refused('it is no text', cause);
  }
}
