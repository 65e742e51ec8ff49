/**
 * The server's side of SSH authentication: which resource and account are asked for, and the proof of who asks. It ends with
 * an authorisation or with a closed connection, and opens no session itself.
 *
 * Methods: a token or ticket as password; the same by keyboard-interactive, or, when nothing is typed, a sign-in in the browser
 * (device flow); user certificates of Sallyport's own authority; and, where the resource says so, public keys that were registered.
 *
 * @see RFC 4252, RFC 4256
 */
import { errorText } from '@sallyport/shared/errors.ts';
import { peerAt } from '@sallyport/shared/identity/token-bounds.ts';
import { certificateProblem, decodeCertificate, isCertificateAlgorithm, plainAlgorithm } from '@sallyport/shared/ssh/certificate.ts';
import { encodePublicKey, fingerprint, verifySignature } from '@sallyport/shared/ssh/keys.ts';
import { readHolder } from '@sallyport/shared/ssh/principal.ts';
import { decodeRegisteredKey, signatureFits, verifyRegistered } from '@sallyport/shared/ssh/registered-key.ts';
import { SshReader, SshWriter } from '@sallyport/shared/ssh/wire.ts';
import type { AuthorisationOutcome, SessionAuthorization, TokenVerdict } from '../session/authorisation.ts';
import { splitHostPort } from '../session/listener.ts';
import type { ConnectionContext } from '../session/protocol.ts';
import { SSH_DEPTH } from './depth.ts';
import { DeviceFlow } from './device-flow.ts';
import { Message } from './messages.ts';

type Limits = Pick<Authenticated, 'keyFingerprint' | 'forceCommand' | 'withoutForwarding' | 'withoutPty'>;

/** What a client signs with a key, and what it says of it. */
interface KeyProof {
  algorithm: string;
  blob: Buffer;
  signature: Buffer;
  signed: Buffer;
}

const METHODS = ['publickey', 'keyboard-interactive', 'password'];
const ATTEMPTS_MAX = 6;
/** Questions about keys that do not count as attempts: a client may hold many. */
const KEY_QUERIES_MAX = 32;
const PASSWORD_BYTES_MAX = 16 * 1024;
const USER_BYTES_MAX = 512;
/** Every failed attempt is answered this long after it came, whatever it failed at. */
const REFUSAL_AFTER_MS = 250;

/** What a client asks for with its user name: `RESOURCE` or `account+RESOURCE`. */
export interface Asked {
  account: string | null;
  resource: string;
}

export function parseUser(user: string): Asked {
  // A resource's name has no plus; an account's might.
  const at = user.lastIndexOf('+');
  return at < 0 ? { account: null, resource: user } : { account: user.slice(0, at), resource: user.slice(at + 1) };
}

export interface Authenticated {
  authorization: SessionAuthorization;
  asked: Asked;
  user: string;
  method: string;
  /** Fingerprint of the key that was proved; null: another proof. */
  keyFingerprint: string | null;
  /** Of a certificate's critical options: runs whatever is asked for. */
  forceCommand: string | null;
  /** A certificate that does not permit them. */
  withoutForwarding: boolean;
  withoutPty: boolean;
}

export interface AuthenticationHost {
  readonly context: ConnectionContext;
  /** Exchange hash of the connection, which signatures cover. */
  sessionId(): Buffer;
  send(payload: Uint8Array): void;
  onAuthenticated(authenticated: Authenticated): void;
  /** Too many attempts, or nonsense. */
  giveUp(reason: string): void;
}

type State = 'waiting' | 'judging' | 'prompting' | 'device' | 'done';

export class Authentication {
  readonly #host: AuthenticationHost;
  #state: State = 'waiting';
  #attempts = 0;
  #keyQueries = 0;
  /** The user name may not change (RFC 4252, 5 lets a server disconnect). */
  #user: string | null = null;
  #device: DeviceFlow | null = null;

  constructor(host: AuthenticationHost) {
    this.#host = host;
  }

  /** Takes one message; what is not of authentication ends the connection. */
  take(payload: Buffer): void {
    if (this.#state === 'done') return;
    const type = payload[0];
    if (type === Message.userauthRequest) this.#request(payload);
    else if (type === Message.userauthInfoResponse) this.#infoResponse(payload);
    else this.#host.giveUp(`message ${type} came before authentication`);
  }

  close(): void {
    this.#state = 'done';
    this.#device?.stop();
    this.#device = null;
  }

  #request(payload: Buffer): void {
    if (this.#state === 'judging') {
      this.#host.giveUp('a request came while another one is judged');
      return;
    }
    // A new request ends one that waits for an answer (RFC 4252, 5.1).
    this.#device?.stop();
    this.#device = null;
    this.#state = 'waiting';
    const reader = new SshReader(payload, 1);
    const user = reader.text();
    const service = reader.text();
    const method = reader.text();
    if (Buffer.byteLength(user) > USER_BYTES_MAX) {
      this.#host.giveUp('the user name is too long');
      return;
    }
    if (service !== 'ssh-connection' || (this.#user !== null && this.#user !== user)) {
      this.#host.giveUp(service === 'ssh-connection' ? 'the user name changed' : 'a service was asked for that is not offered');
      return;
    }
    this.#user = user;
    switch (method) {
      case 'none':
        this.#sendFailure();
        return;
      case 'password': {
        const isChange = reader.boolean();
        const password = reader.text();
        if (isChange || password.length > PASSWORD_BYTES_MAX) this.#fail('PASSWORD_MALFORMED', 'a password that is none of ours', method);
        else void this.#judgeToken(password, method);
        return;
      }
      case 'keyboard-interactive':
        this.#prompt();
        return;
      case 'publickey':
        this.#publicKey(payload, reader);
        return;
      default:
        this.#sendFailure();
    }
  }

  #sendFailure(): void {
    if (this.#state === 'done') return;
    this.#state = 'waiting';
    this.#host.send(new SshWriter().byte(Message.userauthFailure).nameList(METHODS).boolean(false).finish());
  }

  /** A failed attempt: recorded at once, answered after a time that says nothing. */
  #fail(code: string, reason: string, method: string, outcome?: AuthorisationOutcome & { authorised: false }): void {
    const { context } = this.#host;
    context.gateway.recordRefusal({
      resource: context.resource,
      protocol: 'ssh',
      clientAddress: context.clientAddress,
      client: { user: (this.#user ?? '').slice(0, 256), method },
      code,
      reason,
      principal: outcome?.principal,
      told: 'permission denied',
    });
    this.#state = 'judging';
    this.#attempts++;
    setTimeout(() => {
      if (this.#state === 'done') return;
      if (this.#attempts >= ATTEMPTS_MAX) this.#host.giveUp('too many failed attempts');
      else this.#sendFailure();
    }, REFUSAL_AFTER_MS);
  }

  /** The user name must ask for this listener's resource; what else it may name is not told. */
  #asked(): Asked | null {
    const asked = parseUser(this.#user ?? '');
    return asked.resource === this.#host.context.resource ? asked : null;
  }

  async #judgeToken(token: string, method: string): Promise<void> {
    this.#state = 'judging';
    const { context } = this.#host;
    const outcome = await context.gateway.authorise(token.trim(), context.resource, SSH_DEPTH, peerAt(context.clientAddress));
    this.#settle(outcome, method, { keyFingerprint: null, forceCommand: null, withoutForwarding: false, withoutPty: false });
  }

  #settle(outcome: AuthorisationOutcome, method: string, limits: Limits): void {
    if (this.#state === 'done') return;
    const asked = this.#asked();
    if (!outcome.authorised) this.#fail(outcome.code, outcome.reason, method, outcome);
    else if (asked === null) this.#fail('OTHER_RESOURCE', 'the user name asks for another resource than this listener serves', method);
    else {
      this.#state = 'done';
      this.#host.onAuthenticated({ authorization: outcome.authorization, asked, user: this.#user ?? '', method, ...limits });
    }
  }

  #prompt(): void {
    const { gateway } = this.#host.context;
    const canSignIn = DeviceFlow.possible(gateway);
    const prompt = canSignIn
      ? 'Password (a ticket or token; just press Enter to sign in in the browser): '
      : 'Password (a ticket or token): ';
    this.#state = 'prompting';
    this.#host.send(
      new SshWriter()
        .byte(Message.userauthInfoRequest)
        .string('')
        .string(`Sallyport: ${this.#host.context.resource}`)
        .string('')
        .uint32(1)
        .string(prompt)
        .boolean(false)
        .finish(),
    );
  }

  #infoResponse(payload: Buffer): void {
    const reader = new SshReader(payload, 1);
    const count = reader.uint32();
    if (this.#state === 'device') return; // Its answer to a request without questions.
    if (this.#state !== 'prompting' || count !== 1) {
      this.#host.giveUp('an answer came that nobody asked for');
      return;
    }
    const answer = reader.text();
    reader.end();
    if (answer.trim() !== '') void this.#judgeToken(answer.slice(0, PASSWORD_BYTES_MAX), 'keyboard-interactive');
    else if (DeviceFlow.possible(this.#host.context.gateway)) void this.#signIn();
    else this.#fail('PASSWORD_EMPTY', 'nothing was typed', 'keyboard-interactive');
  }

  /** Shows an address and a code, waits for somebody to sign in there, and goes on by itself. */
  async #signIn(): Promise<void> {
    this.#state = 'device';
    const flow = new DeviceFlow(this.#host.context.gateway);
    this.#device = flow;
    try {
      const { address, code, completeAddress } = await flow.begin();
      if (this.#device !== flow) return;
      const text = `\r\nTo sign in, open ${completeAddress ?? address}\r\nand check that it shows the code ${code}. Waiting for you there …\r\n`;
      this.#host.send(new SshWriter().byte(Message.userauthInfoRequest).string('').string(text).string('').uint32(0).finish());
      const token = await flow.token();
      if (this.#device !== flow) return;
      this.#device = null;
      await this.#judgeToken(token, 'device');
    } catch (error) {
      if (this.#device !== flow) return;
      this.#device = null;
      this.#fail('DEVICE_FLOW', `the sign-in in the browser did not succeed: ${errorText(error)}`, 'device');
    }
  }

  #publicKey(payload: Buffer, reader: SshReader): void {
    const hasSignature = reader.boolean();
    const algorithm = reader.text();
    const blob = reader.bytes();
    const isCertificate = isCertificateAlgorithm(algorithm);
    if (!isCertificate && !this.#isRegistered(algorithm, blob)) {
      // Clients offer all keys they have. One that nobody has registered is answered alike, with a signature or without.
      if (++this.#keyQueries > KEY_QUERIES_MAX) this.#host.giveUp('too many keys were offered');
      else this.#sendFailure();
      return;
    }
    if (!hasSignature) {
      if (++this.#keyQueries > KEY_QUERIES_MAX) {
        this.#host.giveUp('too many keys were offered');
        return;
      }
      // The answer must not tell a certificate that would count from one that would not, nor cost a check of signatures. Of plain keys it
      // tells, as every server's does, that somebody has registered them; not who, nor what for.
      this.#host.send(new SshWriter().byte(Message.userauthInfoRequest).string(algorithm).string(blob).finish());
      return;
    }
    const signedEnd = reader.at;
    const signature = reader.bytes();
    reader.end();
    const signed = Buffer.concat([new SshWriter().string(this.#host.sessionId()).finish(), payload.subarray(0, signedEnd)]);
    const proof = { algorithm, blob: Buffer.from(blob), signature: Buffer.from(signature), signed };
    void (isCertificate ? this.#judgeCertificate(proof) : this.#judgeKey(proof));
  }

  #isRegistered(algorithm: string, blob: Buffer): boolean {
    const { gateway, resource } = this.#host.context;
    if (this.#asked() === null || gateway.lease?.registeredKeysOf(resource)?.find(blob, Date.now()) == null) return false;
    return signatureFits({ type: new SshReader(blob).text() }, algorithm);
  }

  async #judgeKey(proof: KeyProof): Promise<void> {
    this.#state = 'judging';
    const { context } = this.#host;
    const verify = (): Promise<TokenVerdict> => Promise.resolve(this.#keyVerdict(proof));
    const outcome = await context.gateway.authorise('', context.resource, SSH_DEPTH, peerAt(context.clientAddress), verify);
    const keyFingerprint = fingerprint(proof.blob);
    this.#settle(outcome, 'publickey', { keyFingerprint, forceCommand: null, withoutForwarding: false, withoutPty: false });
  }

  #keyVerdict({ algorithm, blob, signature, signed }: KeyProof): TokenVerdict {
    const refused = (code: string, reason: string): TokenVerdict => ({ ok: false, code, reason });
    const { gateway, resource } = this.#host.context;
    const nowMs = Date.now();
    const { lease } = gateway;
    const registered = lease?.registeredKeysOf(resource)?.find(blob, nowMs) ?? null;
    if (lease === null || registered === null) return refused('SSH_KEY_UNKNOWN', 'the public key is not registered, or not any more');
    if (!verifyRegistered(decodeRegisteredKey(blob), algorithm, signature, signed))
      return refused('SSH_KEY_REFUSED', `the proof of the public key ${fingerprint(blob)} is wrong`);
    const holder = lease.holderOfKey(registered.id, resource, new Date(nowMs));
    if (!holder.known) return refused('SSH_KEY_HOLDER_UNKNOWN', holder.reason);
    return {
      ok: true,
      principal: holder.principal,
      tokenId: registered.id,
      expiresAtMs: registered.expiresAtMs,
      byRegisteredKey: true,
    };
  }

  async #judgeCertificate(proof: KeyProof): Promise<void> {
    this.#state = 'judging';
    const { context } = this.#host;
    const limits: Limits = { keyFingerprint: null, forceCommand: null, withoutForwarding: true, withoutPty: true };
    const verify = (): Promise<TokenVerdict> => Promise.resolve(this.#verdict(proof, limits));
    const outcome = await context.gateway.authorise('', context.resource, SSH_DEPTH, peerAt(context.clientAddress), verify);
    this.#settle(outcome, 'certificate', limits);
  }

  #verdict(proof: KeyProof, limits: Limits): TokenVerdict {
    const refused = (reason: string): TokenVerdict => ({
      ok: false,
      code: 'CERTIFICATE_REFUSED',
      reason: `the SSH certificate: ${reason}`,
    });
    const { gateway, resource, clientAddress } = this.#host.context;
    const authority = gateway.lease?.resources.get(resource)?.ssh?.userAuthority;
    if (authority === undefined) return refused('there is no lease that says whose certificates count');
    const certificate = decodeCertificate(proof.blob);
    const nowMs = Date.now();
    const problem = certificateProblem(certificate, {
      role: 'user',
      authorities: [authority],
      nowMs,
      address: splitHostPort(clientAddress)?.host ?? '',
      enforced: ['force-command'],
    });
    if (problem !== null) return refused(problem);
    const algorithm = plainAlgorithm(proof.algorithm);
    if (!algorithm.startsWith('rsa-sha2-') && algorithm !== certificate.keyType) return refused('its key is of another type than was said');
    if (!verifySignature(certificate.key, algorithm, proof.signature, proof.signed)) return refused('the proof of its key is wrong');
    const holder = readHolder(certificate);
    if (holder === null) return refused('it does not say for whom it is');
    if (!certificate.principals.includes(holder.principal.name)) return refused('its principal is not whom it says it is for');
    limits.keyFingerprint = fingerprint(encodePublicKey(certificate.key));
    limits.forceCommand = certificate.criticalOptions.get('force-command') ?? null;
    limits.withoutForwarding = !certificate.extensions.has('permit-port-forwarding');
    limits.withoutPty = !certificate.extensions.has('permit-pty');
    return {
      ok: true,
      principal: holder.principal,
      tokenId: holder.tokenId,
      expiresAtMs: Number(certificate.validBefore) * 1000,
      ...(holder.resource === undefined ? {} : { ticketResource: holder.resource }),
    };
  }
}
