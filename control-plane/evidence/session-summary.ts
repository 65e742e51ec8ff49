/**
 * What the report in an evidence file says of one session, gathered from its records as they go by. Bounded: the first commands, and how
 * many more there are. What cannot be decoded is left out here; the verifier names it.
 */
import type { Command, Principal, Response } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { Decision, PrincipalKind, Status } from '@sallyport/proto/gen/sallyport/records/v1/records_pb.js';
import { REPORT_COMMANDS_MAX, type ReportedCommand, type ReportedSession } from '@sallyport/shared/evidence/html-report.ts';
import { decodeStored } from '../ingest/decode.ts';

export class SessionSummary {
  readonly #session: ReportedSession;
  readonly #commands = new Map<number, ReportedCommand>();

  constructor(id: string) {
    const unknown = { principal: '', kind: '', resource: '', agent: '', clientAddress: '', role: '', outcome: '' };
    this.#session = { id, ...unknown, startedAtUnixUs: Number.NaN, endedAtUnixUs: null, commands: [], more: 0, records: 0 };
  }

  take(encoded: Uint8Array): void {
    const session = this.#session;
    session.records++;
    let record: ReturnType<typeof decodeStored>;
    try {
      record = decodeStored(encoded);
    } catch {
      return; // the verifier names what cannot be read
    }
    const { body, seq } = record;
    const atUnixUs = Number(record.atUnixUs);
    if (Number.isNaN(session.startedAtUnixUs)) session.startedAtUnixUs = atUnixUs;
    switch (body.case) {
      case 'sessionStarted': {
        const { resource, agent, clientAddress, role, principal } = body.value;
        Object.assign(session, { resource, agent, clientAddress, role, ...who(principal), outcome: 'not ended' });
        break;
      }
      case 'sessionRefused': {
        const { resource, agent, clientAddress, code, reason, principal } = body.value;
        Object.assign(session, { resource, agent, clientAddress, ...who(principal), outcome: `refused: ${code} ${reason}` });
        break;
      }
      case 'sessionEnded':
        session.endedAtUnixUs = atUnixUs;
        session.outcome = body.value.errorCode === '' ? body.value.reason : `${body.value.reason} (${body.value.errorCode})`;
        break;
      case 'command':
        if (this.#commands.size < REPORT_COMMANDS_MAX) this.#commands.set(Number(seq), reported(Number(seq), atUnixUs, body.value));
        else session.more++;
        break;
      case 'response':
        answered(this.#commands.get(Number(body.value.commandSeq)), body.value);
        break;
      default:
    }
  }

  end(): ReportedSession {
    return { ...this.#session, commands: [...this.#commands.values()] };
  }
}

function who(principal: Principal | undefined): { principal: string; kind: string } {
  return { principal: principal?.name ?? '', kind: principal === undefined ? '' : PrincipalKind[principal.kind].toLowerCase() };
}

function reported(seq: number, atUnixUs: number, command: Command): ReportedCommand {
  const { text, rule, reason, columnsRead, approvers } = command;
  const decision = Decision[command.decision].toLowerCase();
  return { seq, atUnixUs, text, decision, rule, reason, columnsRead, approvers, status: '', rows: 0, maskedValues: 0, dataClasses: [] };
}

function answered(command: ReportedCommand | undefined, response: Response): void {
  if (command === undefined) return;
  const status = Status[response.status].toLowerCase();
  command.status = response.errorCode === '' ? status : `${status} ${response.errorCode}`;
  command.rows = Number(response.rows);
  command.maskedValues = Number(response.maskedValues);
  command.dataClasses = response.dataClasses;
  if (response.approvers.length > 0) command.approvers = response.approvers;
}
