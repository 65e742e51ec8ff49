/**
 * Learns the control plane's CA certificate from the control plane itself, and believes it only if its hash is the one in the join
 * token. Nothing is sent before that but a TLS ClientHello: the token goes out on a later connection, checked against this CA.
 */
import { createHash, timingSafeEqual, X509Certificate } from 'node:crypto';
import tls from 'node:tls';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';

/** The name in the control plane's certificate, wherever it runs. Agents' own certificates never hold it. */
export const CONTROL_PLANE_SERVER_NAME = 'control-plane.sallyport.internal';

const CHAIN_MAX = 8;

/**
 * @param fingerprint SHA-256 of the CA certificate's DER, 32 bytes.
 * @returns the CA certificate, PEM.
 * @throws {GatewayError} CONTROL_PLANE_UNREACHABLE, CONTROL_PLANE_UNTRUSTED.
 */
export async function fetchAuthority(
  address: { host: string; port: number },
  fingerprint: Uint8Array,
  timeoutMs = 10_000,
): Promise<string> {
  const chain = await presentedChain(address, timeoutMs);
  for (const der of chain) {
    const digest = createHash('sha256').update(der).digest();
    if (digest.length !== fingerprint.length || !timingSafeEqual(digest, fingerprint)) continue;
    const certificate = new X509Certificate(der);
    if (certificate.ca) return certificate.toString();
  }
  throw new GatewayError(
    'CONTROL_PLANE_UNTRUSTED',
    'denied',
    `the server at ${address.host}:${address.port} is not the control plane that made the join token: check the address, or ask for a new token`,
  );
}

function presentedChain(address: { host: string; port: number }, timeoutMs: number): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    const unreachable = (why: string, cause?: unknown) =>
      reject(
        new GatewayError(
          'CONTROL_PLANE_UNREACHABLE',
          'unavailable',
          `the control plane at ${address.host}:${address.port} cannot be reached: ${why}`,
          {
            cause,
          },
        ),
      );
    const socket = tls.connect({
      ...address,
      // The chain is judged below, by the token's fingerprint; this connection carries nothing.
      rejectUnauthorized: false,
      servername: CONTROL_PLANE_SERVER_NAME,
      ALPNProtocols: ['h2'],
      minVersion: 'TLSv1.3',
      timeout: timeoutMs,
    });
    const timer = setTimeout(() => socket.destroy(new Error('no TLS handshake in time')), timeoutMs);
    socket.once('secureConnect', () => {
      const chain: Buffer[] = [];
      let certificate = socket.getPeerCertificate(true);
      while (certificate?.raw !== undefined && chain.length < CHAIN_MAX) {
        chain.push(certificate.raw);
        if (certificate.issuerCertificate === certificate) break;
        certificate = certificate.issuerCertificate;
      }
      clearTimeout(timer);
      socket.destroy();
      resolve(chain);
    });
    socket.once('error', error => {
      clearTimeout(timer);
      unreachable(errorText(error), error);
    });
    socket.once('timeout', () => socket.destroy(new Error('no answer in time')));
    socket.once('close', () => {
      clearTimeout(timer);
      unreachable('the connection was closed');
    });
  });
}
