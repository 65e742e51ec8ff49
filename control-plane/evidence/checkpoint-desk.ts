/**
 * Takes agents' checkpoints into the control log: checks who signed, gathers for a moment, logs the newest of each ledger in one event,
 * and tells the agents. An agent repeats what it was not told of, so nothing here need be durable.
 */
import type { Checkpointed } from '@sallyport/proto/gen/sallyport/agent/v1/agent_pb.js';
import { verifyEd25519 } from '@sallyport/shared/crypto/sha256.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { decodeStatement, signedBytes } from '@sallyport/shared/evidence/checkpoint.ts';
import type { Logger } from 'pino';
import { checkpointAggregate, type LoggedCheckpoint } from '../aggregates/checkpoint.ts';
import { action, type ControlLog } from '../aggregates/control-log.ts';
import type { AgentIdentity } from '../grpc/agent-identity.ts';

export interface CheckpointDeskOptions {
  control: ControlLog;
  logger: Logger;
  /** How long checkpoints are gathered; default 2 s. */
  gatherMs?: number;
}

interface Pending {
  checkpoint: LoggedCheckpoint;
  logged: (ledger: string, number: number) => void;
}

const GATHER_MS = 2000;
/** Ledgers with a checkpoint that waits: one per spool of every agent. */
const PENDING_MAX = 100_000;
const LEDGER_LENGTH_MAX = 64;

/** Hexadecimal digits and dashes: a name that is nothing else anywhere. */
function isSpoolId(text: string): boolean {
  return text.length <= LEDGER_LENGTH_MAX && /^[0-9a-f-]+$/.test(text);
}

export class CheckpointDesk {
  readonly #options: CheckpointDeskOptions;
  #pending = new Map<string, Pending>();
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: CheckpointDeskOptions) {
    this.#options = options;
  }

  /**
   * @param logged called when this checkpoint, or a later one of its ledger, is in the log.
   * @throws {GatewayError} CHECKPOINT_INVALID: it is not what the agent may say; CHECKPOINTS_TOO_MANY.
   */
  received(identity: AgentIdentity, message: Checkpointed, logged: Pending['logged']): void {
    const statement = decodeStatement(message.statement);
    const invalid = (why: string) =>
      new GatewayError('CHECKPOINT_INVALID', 'denied', `A checkpoint of agent ${identity.agentId} is refused: ${why}.`);
    if (statement === null || !isSpoolId(statement.ledger)) throw invalid('it cannot be read');
    if (statement.agentId !== identity.agentId) throw invalid('it speaks for another agent');
    const key = Buffer.from(identity.agent.details.keys.signingKey, 'base64');
    if (!verifyEd25519(key, signedBytes(message.statement), message.signature))
      throw invalid('its signature is not by the key that the agent enrolled with');
    const { ledger, number } = statement;
    if ((this.#owner(ledger) ?? identity.agentId) !== identity.agentId) throw invalid('it speaks for the ledger of another agent');
    // An agent cannot stand in the way of another's ledger.
    const place = `${identity.agentId}/${ledger}`;
    const waiting = this.#pending.get(place);
    if (waiting === undefined && this.#pending.size >= PENDING_MAX)
      throw new GatewayError('CHECKPOINTS_TOO_MANY', 'unavailable', 'Too many checkpoints wait for the log; the agent repeats this one.');
    if (waiting !== undefined && waiting.checkpoint.number > number) return;
    this.#pending.set(place, {
      checkpoint: {
        agentId: identity.agentId,
        ledger,
        number,
        statement: Buffer.from(message.statement).toString('base64'),
        signature: Buffer.from(message.signature).toString('base64'),
      },
      logged,
    });
    this.#timer ??= setTimeout(() => void this.flush(), this.#options.gatherMs ?? GATHER_MS);
  }

  /** The agent whose ledger it is: the first that had a checkpoint of it logged. */
  #owner(ledger: string): string | undefined {
    const { ledgers } = this.#options.control.state.checkpoints();
    return Object.hasOwn(ledgers, ledger) ? ledgers[ledger]?.agentId : undefined;
  }

  /** Logs what waits, at once. Never rejects: what could not be logged comes again. */
  flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  async close(): Promise<void> {
    await this.flush();
  }

  async #write(): Promise<void> {
    if (this.#pending.size === 0) return;
    const taken = this.#pending;
    const pending = [...taken.values()];
    this.#pending = new Map();
    const { control, logger } = this.#options;
    try {
      const checkpoints = pending.map(({ checkpoint }) => checkpoint);
      const outcome = await control.execute([action(checkpointAggregate, 'log', { type: 'log', checkpoints })], {
        author: 'system',
        authorAddress: '',
        reason: 'checkpoints of agents',
        requestId: '',
      });
      for (const event of outcome.accepted ? outcome.events : []) {
        const { conflicts } = event.payload as { conflicts: LoggedCheckpoint[] };
        for (const { agentId, ledger, number } of conflicts)
          logger.error(
            { agentId, ledger, number },
            'an agent’s evidence was set back or copied: this checkpoint does not follow the last one',
          );
      }
      for (const { checkpoint, logged } of pending) {
        const { agentId, ledger, number } = checkpoint;
        if (this.#owner(ledger) === agentId) logged(ledger, number);
        else logger.error({ agentId, ledger, number }, 'two agents claimed one ledger at once: this one’s checkpoint was not logged');
      }
    } catch (error) {
      logger.warn({ err: errorText(error) }, 'checkpoints were not logged; agents repeat them');
      // They are not lost: a newer one covers them, and until then they wait here.
      for (const [place, each] of taken) if (!this.#pending.has(place)) this.#pending.set(place, each);
      this.#timer ??= setTimeout(() => void this.flush(), GATHER_MS);
    }
  }
}
