/**
 * The parts of ssh2 that this folder uses: its transport layer, which the package's entry does not export, and its parser of
 * private keys. The version is pinned; transport.ts checks at load that these are what they were.
 */
declare module 'ssh2/lib/protocol/Protocol.js' {
  interface PacketWriter {
    allocStart: number;
    alloc(payloadLength: number): Buffer;
    finalize(packet: Buffer): Buffer;
  }
  export default class Protocol {
    constructor(options: {
      server?: boolean;
      hostKeys?: Record<string, unknown>;
      ident?: Buffer | string;
      offer: unknown;
      onWrite: (data: Buffer | string) => void;
      onError: (error: Error) => void;
      onHeader?: (header: { identRaw: string; versions: { protocol: string; software: string }; comments?: string }) => void;
      onHandshakeComplete?: (negotiated: NegotiatedAlgorithms) => void;
      hostVerifier?: (key: Buffer, verify: (permitted: boolean) => void) => boolean | undefined;
      messageHandlers: Record<string, unknown>;
    });
    start?: () => void;
    parse(data: Buffer, from: number, length: number): void;
    cleanup(): void;
    rekey(): void;
    service(name: string): void;
    serviceAccept(name: string): void;
    /** Present during a key exchange: what is sent meanwhile is queued. */
    _kexinit: Buffer | undefined;
    _queue: Buffer[] | undefined;
    _kex: { sessionID: Buffer; negotiated: { serverHostKey: string } } | undefined;
    _packetRW: { write: PacketWriter };
    _handlers: Record<string, unknown>;
    _destruct: ((reason?: string) => void) | undefined;
  }
  export interface NegotiatedAlgorithms {
    kex: string;
    serverHostKey: string;
    cs: { cipher: string; mac: string; compress: string };
    sc: { cipher: string; mac: string; compress: string };
  }
}

declare module 'ssh2/lib/protocol/handlers.js' {
  import type Protocol from 'ssh2/lib/protocol/Protocol.js';

  const handlers: ((protocol: Protocol, payload: Buffer) => unknown)[];
  export default handlers;
}

declare module 'ssh2/lib/protocol/kex.js' {
  const kex: { KexInit: new (offer: unknown) => object };
  export default kex;
}

declare module 'ssh2/lib/protocol/utils.js' {
  import type Protocol from 'ssh2/lib/protocol/Protocol.js';

  const utils: { sendPacket(protocol: Protocol, packet: Buffer, bypass?: boolean): boolean };
  export default utils;
}

declare module 'ssh2/lib/protocol/crypto.js' {
  const crypto: {
    init: Promise<void>;
    bindingAvailable: boolean;
    CIPHER_INFO: Record<string, unknown>;
    createCipher(config: { outbound: Record<string, unknown> }): object;
    createDecipher(config: { inbound: Record<string, unknown> }): object;
  };
  export default crypto;
}

declare module 'ssh2/lib/protocol/keyParser.js' {
  export interface ParsedKey {
    type: string;
    getPrivatePEM(): string | null;
    getPublicPEM(): string;
    getPublicSSH(): Buffer;
    isPrivateKey(): boolean;
  }
  const keyParser: { parseKey(data: string | Buffer, passphrase?: string | Buffer): ParsedKey | ParsedKey[] | Error };
  export default keyParser;
}
