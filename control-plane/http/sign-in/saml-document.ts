/**
 * The shape that a SAML response must have before anybody looks at its signatures, and what a verified assertion says.
 *
 * Attacks on SAML move signed elements about (signature wrapping), so that what is verified is not what is read. Here a message has one
 * form and no other: one Response with one Assertion as its child, signatures as direct children of what they sign, in their place by
 * the schema, each over its own parent and nothing else, by algorithms of a short list. No document type, no entities, no comments, no
 * CDATA, no processing instructions, no id twice. Whether signatures are good is not judged here (saml.ts), nor is any key taken from a
 * message.
 *
 * @see SAML 2.0 core sections 2, 3 and 5; profiles section 4.1.4; Somorovsky et al., On Breaking SAML (2012)
 */
import { GatewayError } from '@sallyport/shared/errors.ts';
import { type XmlElement, xmlParser } from './xml-libraries.ts';

const namespaces = {
  protocol: 'urn:oasis:names:tc:SAML:2.0:protocol',
  assertion: 'urn:oasis:names:tc:SAML:2.0:assertion',
  signature: 'http://www.w3.org/2000/09/xmldsig#',
} as const;
const exclusive = 'http://www.w3.org/2001/10/xml-exc-c14n#';
const enveloped = 'http://www.w3.org/2000/09/xmldsig#enveloped-signature';
const signatureMethods = new Set(['256', '384', '512'].map(bits => `http://www.w3.org/2001/04/xmldsig-more#rsa-sha${bits}`));
const digestMethods = new Set([
  'http://www.w3.org/2001/04/xmlenc#sha256',
  'http://www.w3.org/2001/04/xmldsig-more#sha384',
  'http://www.w3.org/2001/04/xmlenc#sha512',
]);
const bytesMax = 256 * 1024;
const depthMax = 40;
const elementsMax = 10_000;

/** What a verified assertion says. Times are milliseconds since 1970. */
export interface Assertion {
  id: string;
  nameId: string;
  isTransient: boolean;
  /** By Name, and by FriendlyName where no Name is called so. */
  attributes: ReadonlyMap<string, readonly string[]>;
  sessionIndex: string | undefined;
  notOnOrAfterMs: number;
  sessionNotOnOrAfterMs: number | undefined;
}

export interface Expected {
  issuer: string;
  entityId: string;
  /** Where the response was to be sent. */
  acsUrl: string;
  requestId: string;
  nowMs: number;
  clockSkewMs: number;
}

/** @throws {GatewayError} SAML_REFUSED. */
export function refused(why: string, cause?: unknown): never {
  throw new GatewayError('SAML_REFUSED', 'unauthenticated', `The identity provider's answer is refused: ${why}.`, { cause });
}

/**
 * Checks the form of a response, and that it answers the request, here.
 * @param xml as it came, decoded from base64.
 * @returns the encrypted assertion, as XML; null: it is not encrypted.
 * @throws {GatewayError} SAML_REFUSED.
 */
export function checkResponse(xml: string, { issuer, acsUrl, requestId }: Expected): string | null {
  const root = parsed(xml);
  const all = [root, ...descendants(root)];
  if (root.localName !== 'Response' || root.namespaceURI !== namespaces.protocol) refused('it is no SAML response');
  if (root.getAttribute('Version') !== '2.0') refused('it is not of SAML 2.0');
  // By local name, so that no other namespace hides one.
  if (all.filter(({ localName }) => localName === 'Response').length !== 1) refused('it has more than one response');
  const assertions = all.filter(({ localName }) => localName === 'Assertion' || localName === 'EncryptedAssertion');
  const [assertion] = assertions;
  const status = only(only(root, 'Status', namespaces.protocol), 'StatusCode', namespaces.protocol).getAttribute('Value') ?? '';
  if (status !== 'urn:oasis:names:tc:SAML:2.0:status:Success') refused(`the provider says ${JSON.stringify(status.slice(0, 200))}`);
  if (assertion === undefined || assertions.length !== 1) refused('it does not have exactly one assertion');
  if (assertion.parentNode !== root || assertion.namespaceURI !== namespaces.assertion) refused('its assertion is not where it belongs');
  const issuers = children(root, 'Issuer', namespaces.assertion);
  if (issuers.length > 1 || issuers.some(each => textOf(each) !== issuer)) refused('it is of another issuer');
  const destination = root.getAttribute('Destination') ?? '';
  if (destination !== '' && destination !== acsUrl) refused('it was meant for another address');
  if (root.getAttribute('InResponseTo') !== requestId) refused('it does not answer the sign-in of this browser');
  const isEncrypted = assertion.localName === 'EncryptedAssertion';
  const owners = isEncrypted ? [root] : [root, assertion];
  checkSignatures(all, owners);
  if (!isEncrypted && signaturesOf(assertion).length !== 1) refused('its assertion is not signed');
  return isEncrypted ? String(assertion) : null;
}

/**
 * Checks the form of an assertion that was encrypted, as it was inside.
 * @throws {GatewayError} SAML_REFUSED.
 */
export function checkDecrypted(xml: string): void {
  const root = parsed(xml);
  const all = [root, ...descendants(root)];
  if (root.localName !== 'Assertion' || root.namespaceURI !== namespaces.assertion) refused('what was encrypted is no assertion');
  if (all.some(each => each !== root && ['Assertion', 'EncryptedAssertion', 'Response'].includes(each.localName ?? '')))
    refused('it does not have exactly one assertion');
  checkSignatures(all, [root]);
  if (signaturesOf(root).length !== 1) refused('its assertion is not signed');
}

/**
 * Reads an assertion whose signature was verified.
 * @param xml the very text that was signed.
 * @throws {GatewayError} SAML_REFUSED.
 */
export function readAssertion(xml: string, expected: Expected): Assertion {
  const root = parsed(xml);
  const inner = descendants(root);
  if (root.localName !== 'Assertion' || root.namespaceURI !== namespaces.assertion) refused('what is signed is no assertion');
  if (inner.some(({ localName }) => localName === 'Assertion' || localName === 'EncryptedAssertion' || localName === 'Response'))
    refused('its assertion holds another');
  if (root.getAttribute('Version') !== '2.0') refused('its assertion is not of SAML 2.0');
  if (textOf(only(root, 'Issuer', namespaces.assertion)) !== expected.issuer) refused('its assertion is of another issuer');
  const subject = only(root, 'Subject', namespaces.assertion);
  const nameId = only(subject, 'NameID', namespaces.assertion);
  checkConfirmation(children(subject, 'SubjectConfirmation', namespaces.assertion), expected);
  const notOnOrAfterMs = checkConditions(only(root, 'Conditions', namespaces.assertion), expected);
  const [statement] = children(root, 'AuthnStatement', namespaces.assertion);
  if (statement === undefined) refused('it does not say that anybody signed in');
  const sessionEnd = statement.getAttribute('SessionNotOnOrAfter') ?? '';
  const sessionNotOnOrAfterMs = sessionEnd === '' ? undefined : timeOf(sessionEnd);
  if (sessionNotOnOrAfterMs !== undefined && sessionNotOnOrAfterMs <= expected.nowMs) refused('the session at the provider is over');
  return {
    id: root.getAttribute('ID') ?? '',
    nameId: textOf(nameId),
    isTransient: nameId.getAttribute('Format') === 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient',
    attributes: attributesOf(children(root, 'AttributeStatement', namespaces.assertion)),
    sessionIndex: statement.getAttribute('SessionIndex') || undefined,
    notOnOrAfterMs,
    sessionNotOnOrAfterMs,
  };
}

/** One confirmation is enough, but it must fit in everything. */
function checkConfirmation(confirmations: readonly XmlElement[], { acsUrl, requestId, nowMs, clockSkewMs }: Expected): void {
  const why: string[] = [];
  for (const confirmation of confirmations) {
    if (confirmation.getAttribute('Method') !== 'urn:oasis:names:tc:SAML:2.0:cm:bearer') continue;
    const data = only(confirmation, 'SubjectConfirmationData', namespaces.assertion);
    const end = data.getAttribute('NotOnOrAfter') ?? '';
    const start = data.getAttribute('NotBefore') ?? '';
    if (data.getAttribute('Recipient') !== acsUrl) why.push('it is meant for another address');
    else if (data.getAttribute('InResponseTo') !== requestId) why.push('its assertion does not answer the sign-in of this browser');
    else if (end === '' || timeOf(end) <= nowMs - clockSkewMs) why.push('its confirmation is over, or has no end');
    else if (start !== '' && timeOf(start) > nowMs + clockSkewMs) why.push('its confirmation has not begun');
    else return;
  }
  refused(why[0] ?? 'nothing in it confirms that the bearer is the subject');
}

/** @returns the end. */
function checkConditions(conditions: XmlElement, { entityId, nowMs, clockSkewMs }: Expected): number {
  const start = conditions.getAttribute('NotBefore') ?? '';
  if (start !== '' && timeOf(start) > nowMs + clockSkewMs) refused('it is not valid yet');
  const endMs = timeOf(conditions.getAttribute('NotOnOrAfter') ?? '');
  if (endMs <= nowMs - clockSkewMs) refused('it is not valid any more');
  const restrictions = children(conditions, 'AudienceRestriction', namespaces.assertion);
  const isForUs = (restriction: XmlElement) =>
    children(restriction, 'Audience', namespaces.assertion).some(audience => textOf(audience) === entityId);
  // Each restriction must hold.
  if (restrictions.length === 0 || !restrictions.every(isForUs)) refused('it is for another audience');
  return endMs;
}

function attributesOf(statements: readonly XmlElement[]): ReadonlyMap<string, readonly string[]> {
  const named = new Map<string, string[]>();
  const friendly = new Map<string, string[]>();
  for (const attribute of statements.flatMap(statement => children(statement, 'Attribute', namespaces.assertion))) {
    const values = children(attribute, 'AttributeValue', namespaces.assertion)
      .filter(value => descendants(value).length === 0)
      .map(textOf);
    for (const [name, into] of [
      [attribute.getAttribute('Name'), named],
      [attribute.getAttribute('FriendlyName'), friendly],
    ] as const) {
      if (name) into.set(name, [...(into.get(name) ?? []), ...values]);
    }
  }
  return new Map([...friendly, ...named]);
}

function checkSignatures(all: readonly XmlElement[], owners: readonly XmlElement[]): void {
  const signatures = all.filter(({ localName }) => localName === 'Signature');
  for (const signature of signatures) {
    const owner = owners.find(each => each === signature.parentNode);
    if (owner === undefined || signature.namespaceURI !== namespaces.signature) refused('a signature is not where it belongs');
    if (signaturesOf(owner).length !== 1) refused('something in it is signed twice');
    const before = elementsOf(owner)[elementsOf(owner).indexOf(signature) - 1];
    if (before?.localName !== 'Issuer' || before.namespaceURI !== namespaces.assertion) refused('a signature is not where it belongs');
    checkSignature(signature, owner);
  }
}

function checkSignature(signature: XmlElement, owner: XmlElement): void {
  const dsig = (element: XmlElement, name: string) => only(element, name, namespaces.signature);
  const known = ['SignedInfo', 'SignatureValue', 'KeyInfo'];
  const parts = elementsOf(signature).map(({ localName }) => localName ?? '');
  if (parts.some(part => !known.includes(part)) || new Set(parts).size !== parts.length)
    refused('a signature holds what does not belong there');
  const info = dsig(signature, 'SignedInfo');
  if (algorithmOf(dsig(info, 'CanonicalizationMethod')) !== exclusive)
    refused('a signature is canonicalised in a way that is not taken here');
  if (!signatureMethods.has(algorithmOf(dsig(info, 'SignatureMethod')))) refused('a signature is by an algorithm that is not taken here');
  const reference = dsig(info, 'Reference');
  const id = owner.getAttribute('ID') ?? '';
  if (!/^[A-Za-z_][\w.-]{0,200}$/.test(id)) refused('the id of what is signed is none');
  if (reference.getAttribute('URI') !== `#${id}`) refused('a signature is not over the element that holds it');
  if (!digestMethods.has(algorithmOf(dsig(reference, 'DigestMethod')))) refused('a digest is by an algorithm that is not taken here');
  const transforms = children(dsig(reference, 'Transforms'), 'Transform', namespaces.signature).map(algorithmOf);
  if (transforms.length !== 2 || transforms[0] !== enveloped || transforms[1] !== exclusive)
    refused('a signature transforms what it signs in a way that is not taken here');
}

function signaturesOf(element: XmlElement): XmlElement[] {
  return elementsOf(element).filter(({ localName }) => localName === 'Signature');
}

function algorithmOf(element: XmlElement): string {
  return element.getAttribute('Algorithm') ?? '';
}

/** The only child of a name; none or two are refused. */
export function only(parent: XmlElement, name: string, namespace: string): XmlElement {
  const found = elementsOf(parent).filter(({ localName }) => localName === name);
  const [first] = found;
  if (first === undefined || found.length !== 1 || first.namespaceURI !== namespace) refused(`it does not have exactly one ${name}`);
  return first;
}

function children(parent: XmlElement, name: string, namespace: string): XmlElement[] {
  return elementsOf(parent).filter(({ localName, namespaceURI }) => localName === name && namespaceURI === namespace);
}

export function elementsOf(parent: XmlElement): XmlElement[] {
  return Array.from(parent.childNodes).filter((node): node is XmlElement => node.nodeType === 1);
}

function descendants(root: XmlElement): XmlElement[] {
  const found: XmlElement[] = [];
  const visit = (element: XmlElement, depth: number) => {
    if (depth > depthMax) refused('it is nested too deep');
    for (const child of elementsOf(element)) {
      if (found.push(child) > elementsMax) refused('it has too many elements');
      visit(child, depth + 1);
    }
  };
  visit(root, 1);
  return found;
}

/** The text of an element without elements in it. */
function textOf(element: XmlElement): string {
  if (elementsOf(element).length > 0) refused(`its ${element.localName} is no text`);
  return (element.textContent ?? '').trim();
}

/** `2026-11-21T18:00:00.123Z`; other zones are valid XML, and no provider writes them. */
function timeOf(text: string): number {
  const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) refused('a time in it is missing or none');
  return ms;
}

export function parsed(xml: string): XmlElement {
  if (Buffer.byteLength(xml) > bytesMax) refused('it is too long');
  const body = /^\s*<\?xml [^>]*\?>/.exec(xml)?.[0] ?? '';
  // Document types, entities, comments and CDATA all begin so: readers differ in what they make of them.
  if (xml.includes('<!') || xml.slice(body.length).includes('<?')) refused('it has a document type, a comment, CDATA or an instruction');
  const fail = (message: unknown) => refused(`it is no well-formed XML`, message);
  let root: XmlElement | null | undefined;
  try {
    root = xmlParser({ errorHandler: { warning: fail, error: fail, fatalError: fail } }).parseFromString(xml, 'text/xml').documentElement;
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause;
    refused('it is no well-formed XML', cause);
  }
  if (root === null || root === undefined) refused('it is no well-formed XML');
  const ids = new Set<string>();
  for (const element of [root, ...descendants(root)]) {
    for (const attribute of Array.from(element.attributes)) {
      if (attribute.localName?.toLowerCase() !== 'id') continue;
      if (ids.has(attribute.value)) refused('an id is there twice');
      ids.add(attribute.value);
    }
  }
  return root;
}
