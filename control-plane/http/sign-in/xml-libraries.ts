/**
 * The XML libraries, with the parts of their types that are used here. They are loaded without their own types, which bring those of a
 * browser's window into the whole program, where they disagree with Node's; and when they are first asked for, since most installations have
 * no provider that speaks SAML.
 */
import { createRequire } from 'node:module';

const load = createRequire(import.meta.url);

export interface XmlAttribute {
  readonly localName: string | null;
  readonly value: string;
}
export interface XmlNode {
  readonly nodeType: number;
  readonly childNodes: ArrayLike<XmlNode>;
}
export interface XmlElement extends XmlNode {
  readonly localName: string | null;
  readonly namespaceURI: string | null;
  readonly parentNode: XmlNode | null;
  readonly textContent: string | null;
  readonly attributes: ArrayLike<XmlAttribute>;
  getAttribute(name: string): string | null;
  toString(): string;
}
type Parser = new (options: {
  errorHandler: Record<'warning' | 'error' | 'fatalError', (message: unknown) => void>;
}) => {
  parseFromString(xml: string, type: 'text/xml'): { documentElement?: XmlElement | null };
};

export function xmlParser(options: ConstructorParameters<Parser>[0]): InstanceType<Parser> {
  const { DOMParser } = load('@xmldom/xmldom') as { DOMParser: Parser };
  return new DOMParser(options);
}

export interface CacheItem {
  value: string;
  createdAt: number;
}
export interface CacheProvider {
  saveAsync(key: string, value: string): Promise<CacheItem | null>;
  getAsync(key: string): Promise<string | null>;
  removeAsync(key: string | null): Promise<string | null>;
}
export interface SamlProvider {
  getAuthorizeUrlAsync(relayState: string, host: undefined, options: Record<string, never>): Promise<string>;
  /** The profile comes from the text that was signed. */
  validatePostResponseAsync(form: { SAMLResponse: string }): Promise<{ profile: { getAssertionXml?(): string } | null }>;
}
interface ProviderOptions {
  idpCert: string[];
  issuer: string;
  audience: string;
  entryPoint: string;
  callbackUrl: string;
  identifierFormat: null;
  disableRequestedAuthnContext: boolean;
  wantAssertionsSigned: boolean;
  wantAuthnResponseSigned: boolean;
  acceptedClockSkewMs: number;
  validateInResponseTo: 'always';
  cacheProvider: CacheProvider;
  generateUniqueId: () => string;
}

export function samlProvider(options: ProviderOptions): SamlProvider {
  const { SAML } = load('@node-saml/node-saml') as { SAML: new (options: ProviderOptions) => SamlProvider };
  return new SAML(options);
}
