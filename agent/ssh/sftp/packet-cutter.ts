/**
 * Cuts the stream of an SFTP channel into packets. A packet that comes in pieces is gathered in one buffer of its own size, however
 * small the pieces are, so that neither memory nor time depends on how a peer cuts. What packets say is in messages.ts.
 */
import { GatewayError } from '@sallyport/shared/errors.ts';

/** OpenSSH's own bound, and room for the fields around the contents. */
const PAYLOAD_BYTES_MAX = 256 * 1024 + 1024;
const LENGTH_BYTES = 4;

export class PacketCutter {
  readonly #length = Buffer.alloc(LENGTH_BYTES);
  #lengthBytes = 0;
  /** The packet that came in part. */
  #gathered: Buffer | null = null;
  #gatheredBytes = 0;

  /**
   * @yields packets without their lengths; views that are good until the next one is taken.
   * @throws {GatewayError} SFTP_PACKET_LENGTH; nothing after it can be read.
   */
  *push(data: Buffer): Generator<Buffer> {
    let at = 0;
    while (at < data.length) {
      if (this.#gathered === null) {
        if (this.#lengthBytes === 0 && data.length - at >= LENGTH_BYTES) {
          const length = checked(data.readUInt32BE(at));
          if (data.length - at - LENGTH_BYTES >= length) {
            at += LENGTH_BYTES + length;
            yield data.subarray(at - length, at);
            continue;
          }
        }
        const piece = data.subarray(at, at + LENGTH_BYTES - this.#lengthBytes);
        this.#length.set(piece, this.#lengthBytes);
        this.#lengthBytes += piece.length;
        at += piece.length;
        if (this.#lengthBytes < LENGTH_BYTES) return;
        this.#gathered = Buffer.allocUnsafe(checked(this.#length.readUInt32BE(0)));
        this.#gatheredBytes = 0;
        this.#lengthBytes = 0;
      }
      const packet = this.#gathered;
      const piece = data.subarray(at, at + packet.length - this.#gatheredBytes);
      packet.set(piece, this.#gatheredBytes);
      this.#gatheredBytes += piece.length;
      at += piece.length;
      if (this.#gatheredBytes < packet.length) return;
      this.#gathered = null;
      yield packet;
    }
  }
}

function checked(length: number): number {
  if (length < 1 || length > PAYLOAD_BYTES_MAX)
    throw new GatewayError('SFTP_PACKET_LENGTH', 'protocol', `an SFTP packet of ${length} bytes`);
  return length;
}
