/**
 * Who a user certificate of Sallyport's own speaks for. The principals of OpenSSH are names alone; policy needs the issuer, the
 * groups and the delegation as well, which ride in an extension that hosts of others do not know and skip.
 *
 * It trusts the certificate: whoever calls has verified it.
 */
import type { Principal } from '../policy/model.ts';
import type { Certificate } from './certificate.ts';

export const PRINCIPAL_EXTENSION = 'principal@sallyport.dev';
/** The `jti` by which a certificate is revoked. */
export const TOKEN_EXTENSION = 'token-id@sallyport.dev';
/** The one resource that it opens; absent: every one that the principal may use. */
export const RESOURCE_EXTENSION = 'resource@sallyport.dev';

export interface CertificateHolder {
  principal: Principal;
  tokenId: string;
  resource?: string;
}

export function writeHolder(holder: CertificateHolder): Record<string, string> {
  return {
    [PRINCIPAL_EXTENSION]: JSON.stringify(holder.principal),
    [TOKEN_EXTENSION]: holder.tokenId,
    ...(holder.resource === undefined ? {} : { [RESOURCE_EXTENSION]: holder.resource }),
  };
}

/** @returns null when the certificate does not say it: it is then nobody's. */
export function readHolder(certificate: Certificate): CertificateHolder | null {
  const tokenId = certificate.extensions.get(TOKEN_EXTENSION);
  const text = certificate.extensions.get(PRINCIPAL_EXTENSION);
  if (tokenId === undefined || tokenId === '' || text === undefined) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null; // Not ours, or of a form that this version does not know.
  }
  if (!isPrincipal(value)) return null;
  const { kind, name, issuer, subject, groups, delegation } = value;
  const resource = certificate.extensions.get(RESOURCE_EXTENSION);
  return { principal: { kind, name, issuer, subject, groups, delegation }, tokenId, ...(resource === undefined ? {} : { resource }) };
}

function isPrincipal(value: unknown): value is Principal {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, name, issuer, subject, groups, delegation } = value as Record<string, unknown>;
  const texts = (list: unknown) => Array.isArray(list) && list.every(each => typeof each === 'string');
  return (
    (kind === 'person' || kind === 'workload') &&
    typeof name === 'string' &&
    name !== '' &&
    typeof issuer === 'string' &&
    typeof subject === 'string' &&
    texts(groups) &&
    texts(delegation)
  );
}
