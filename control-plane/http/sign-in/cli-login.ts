/**
 * Signing the command line in by way of the console, whatever people sign in to that with (SAML has no tokens that a command could
 * use): a page of the console, where the person says yes, sends the browser to the command's loopback address with a code, and the
 * command trades it for a token with what only it knows (PKCE).
 *
 * The token is a JWT of our own, for the API alone: its audience is no resource, so no agent takes it. It ends when the console session
 * would have. Whoever the directory takes out is refused with it as with any other.
 *
 * @see RFC 8252, RFC 7636
 */
import { createHash, createPublicKey, randomUUID, timingSafeEqual } from 'node:crypto';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import { decodeProtectedHeader, jwtVerify, SignJWT } from 'jose';
import type { AdministrationLog } from '../../aggregates/administration-log.ts';
import type { Provenance } from '../../aggregates/control-log.ts';
import { ticketIssuer } from '../../leases/lease-bundle.ts';
import type { ControlPlaneKeys } from '../../pki/keys.ts';
import type { SigningKeys } from '../../pki/signing-keys.ts';
import type { BrowserSession } from './browser-sessions.ts';
import { openFromBrowser, sealForBrowser } from './cookies.ts';

/** The code as its sealed text has it. */
interface Code {
  id: string;
  principal: Principal;
  provider: string;
  endsAtMs: number;
  challenge: string;
  atMs: number;
}

export interface LoginToken {
  principal: Principal;
  tokenId: string;
  expiresAtMs: number;
}

const codeForMs = 60_000;
/** An address has room for so much; it bounds how many groups a person may have here. */
const codeCharactersMax = 12_000;
const audience = 'sallyport:api';
const type = 'login+jwt';

export class CliLogins {
  readonly #signingKeys: SigningKeys;
  readonly #administration: AdministrationLog;
  readonly #clock: () => number;
  readonly #codeKey: Buffer;

  constructor(keys: ControlPlaneKeys, signingKeys: SigningKeys, administration: AdministrationLog, clock: () => number) {
    this.#signingKeys = signingKeys;
    this.#administration = administration;
    this.#clock = clock;
    this.#codeKey = keys.derive('cli-login-code');
  }

  /**
   * A code for the person of a session.
   * @param challenge base64url of the SHA-256 of what the command will show.
   * @throws {GatewayError} SIGN_IN_FAILED for somebody in too many groups.
   */
  codeFor({ principal, provider, endsAtMs }: BrowserSession, challenge: string): string {
    const code: Code = { id: randomUUID(), principal, provider, endsAtMs, challenge, atMs: this.#clock() };
    const text = sealForBrowser(this.#codeKey, code);
    if (text.length <= codeCharactersMax) return text;
    throw new GatewayError('SIGN_IN_FAILED', 'invalid', 'Your groups do not fit into an address: have the provider send fewer.');
  }

  /**
   * Trades a code for a token, once.
   * @throws {GatewayError} SIGN_IN_FAILED.
   */
  async redeem(
    text: string,
    verifier: string,
    where: Pick<Provenance, 'authorAddress' | 'requestId'>,
  ): Promise<{ token: string; expiresAtMs: number }> {
    const nowMs = this.#clock();
    const code = openFromBrowser(this.#codeKey, text, codeCharactersMax) as Code | undefined;
    const shown = createHash('sha256').update(verifier).digest();
    const wanted = Buffer.from(code?.challenge ?? '', 'base64url');
    const fits = shown.length === wanted.length && timingSafeEqual(shown, wanted);
    if (code === undefined || !fits || nowMs - code.atMs >= codeForMs || nowMs >= code.endsAtMs) throw failed();
    const { principal, provider, endsAtMs, id } = code;
    const { name, issuer, subject, groups } = principal;
    try {
      await this.#administration.recordOnce(
        `cli-${id}`,
        { type: 'SignedIn', payload: { provider, consoleSession: '', groups } },
        { ...where, author: name, authorIdentity: { issuer, subject }, reason: 'signed in on the command line' },
      );
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'ALREADY_DONE') throw failed();
      throw error;
    }
    const exp = Math.floor(endsAtMs / 1000);
    const signing = this.#signingKeys.current('ticket');
    const token = await new SignJWT({ name, groups, oiss: issuer })
      .setProtectedHeader({ alg: 'EdDSA', typ: type, kid: signing.id })
      .setIssuer(ticketIssuer)
      .setAudience(audience)
      .setSubject(subject)
      .setJti(id)
      .setIssuedAt(Math.floor(nowMs / 1000))
      .setExpirationTime(exp)
      .sign(signing.key);
    return { token, expiresAtMs: exp * 1000 };
  }

  /** Who a token of ours is; null: it is none, or not good. */
  async verify(token: string): Promise<LoginToken | null> {
    try {
      const { typ, kid } = decodeProtectedHeader(token);
      const jwk = typ === type ? this.#signingKeys.ticketJwks().find(each => each.kid === kid) : undefined;
      if (jwk === undefined) return null;
      const { payload } = await jwtVerify(token, createPublicKey({ key: jwk, format: 'jwk' }), {
        ...{ issuer: ticketIssuer, audience, typ: type, algorithms: ['EdDSA'], requiredClaims: ['exp', 'jti', 'sub'] },
        currentDate: new Date(this.#clock()),
      });
      const { name, groups, oiss, sub = '', jti = '', exp = 0 } = payload;
      if (typeof name !== 'string' || typeof oiss !== 'string' || !Array.isArray(groups)) return null;
      const principal: Principal = { kind: 'person', name, issuer: oiss, subject: sub, groups: groups.map(String), delegation: [] };
      return { principal, tokenId: jti, expiresAtMs: exp * 1000 };
    } catch {
      return null; // no JWT, or not one of ours: somebody else may know it
    }
  }
}

/** One sentence for all: what was wrong helps only who tries. */
function failed(): GatewayError {
  return new GatewayError('SIGN_IN_FAILED', 'unauthenticated', 'The code is not good, or not any more: run `sallyport login` again.');
}
