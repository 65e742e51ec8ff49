/**
 * Modes of a terminal that a client asks for (RFC 4254, 8). A shell whose lines are followed gets those alone that change nothing of
 * how lines are made: with another character for the end of a line, for erasing or for quoting, with no echo or no line discipline,
 * the host would read other lines than the ones that are followed. Everything else keeps the host's defaults, which are followed.
 */
import { SshReader, SshWriter } from '@sallyport/shared/ssh/wire.ts';

const END = 0;
/** From here on opcodes have arguments of other lengths, and reading stops. */
const ARGUMENTS_END = 160;
/** IUTF8, and the two speeds, which mean nothing to a pseudo-terminal. */
const KEPT: ReadonlySet<number> = new Set([42, 128, 129]);

/**
 * @param request the fields of a `pty-req`: TERM, columns, rows, width, height, modes.
 * @returns the same with the modes that may stay.
 * @throws {GatewayError} SSH_TRUNCATED.
 */
export function withFollowedModes(request: Buffer): Buffer {
  const reader = new SshReader(request);
  reader.bytes();
  for (let i = 0; i < 4; i++) reader.uint32();
  const head = request.subarray(0, reader.at);
  return new SshWriter(head.length + 64).raw(head).string(followedModes(reader.bytes())).finish();
}

function followedModes(modes: Buffer): Buffer {
  const reader = new SshReader(modes);
  const kept = new SshWriter(32);
  while (reader.rest > 0) {
    const opcode = reader.byte();
    if (opcode === END || opcode >= ARGUMENTS_END || reader.rest < 4) break;
    const value = reader.uint32();
    if (KEPT.has(opcode)) kept.byte(opcode).uint32(value);
  }
  return kept.byte(END).finish();
}
