/** What verification says: findings that break the evidence, notes that do not, and what was counted. */

export type FindingCode =
  | 'FILE_MALFORMED' // a line that cannot be read
  | 'FILE_CUT' // the file ends before its last line
  | 'TREE_HEAD_FORGED' // the head of the control log is not signed by the key
  | 'ENTRY_ALTERED' // entries of the control log do not lead to its head
  | 'KEPT_HEAD_FORGED' // a head that was kept elsewhere is not signed by the key
  | 'LOG_ROLLED_BACK' // the log was longer when a kept head was signed
  | 'LOG_SPLIT' // a kept head is of another log
  | 'HEAD_UNPROVEN' // the file does not show that its log goes on from a kept head
  | 'FILE_OLDER' // a kept head is newer than the file
  | 'TIMESTAMP_FORGED' // a time stamp does not hold, or is of another log
  | 'REPORT_FORGED' // the page for people is not signed for this file
  | 'KEY_UNKNOWN' // no proven entry names the agent's key
  | 'CHECKPOINT_FORGED' // a checkpoint is not signed by its agent
  | 'CHECKPOINT_MISSING' // numbers of a ledger are skipped, or its end is cut
  | 'CHECKPOINT_FORK' // two different checkpoints with one number
  | 'CHECKPOINT_UNLOGGED' // a checkpoint that no entry of the control log covers
  | 'HEADS_ALTERED' // a checkpoint's list of sessions is not the one that was signed
  | 'SESSION_MISSING'
  | 'SESSION_UNPROVEN' // no checkpoint vouches for it
  | 'RECORD_ALTERED'
  | 'RECORDS_MISSING'
  | 'RECORD_REORDERED'
  | 'RECORD_REPEATED'
  | 'RECORD_FOREIGN' // a record of another session
  | 'RECORD_ADDED'; // after the session's end

export type NoteCode =
  | 'KEY_NOT_PINNED'
  | 'WITHHELD'
  | 'GAP_DECLARED'
  | 'AGENT_CRASHED'
  | 'NOT_YET_COVERED'
  | 'EXPIRED'
  | 'SHREDDED'
  | 'TIMESTAMP_UNCHECKED';

export interface Finding {
  code: FindingCode;
  /** A sentence for people. */
  message: string;
  session?: string;
  seq?: number;
  /** The last of a run that begins with `seq`. */
  toSeq?: number;
  ledger?: string;
  /** Of a checkpoint in its ledger. */
  number?: number;
  /** Of an entry in the control log. */
  entry?: number;
}

export interface Note {
  code: NoteCode;
  message: string;
  session?: string;
}

export interface Report {
  /** No findings. */
  ok: boolean;
  /** Of what the file claims to be all there is; empty: of everything. */
  scope: Record<string, unknown>;
  findings: Finding[];
  /** Findings beyond those listed. */
  more: number;
  notes: Note[];
  counts: { lines: number; sessions: number; records: number; checkpoints: number; entries: number };
  treeHead: { origin: string; size: number; root: string; at: string } | null;
  /** What authorities say of the log: it was so long at that time. Only those that were checked. */
  timestamps: { at: string; entries: number; authority: string }[];
  /** Was the key one that the verifier was given? */
  pinned: boolean;
}
