/** The outcome of judging a command: always with the rule and the reason. */
import type { ApprovalSpec, RoleSsh } from './model.ts';

export type Decision =
  | { action: 'allow'; rule: string; reason: string }
  | { action: 'deny'; rule: string; reason: string; message: string }
  | { action: 'hold'; rule: string; reason: string; message: string; approval: ApprovalSpec };

/** May this principal use this resource? */
export type Admission =
  | {
      admitted: true;
      role: string;
      session: { maxDurationMs?: number; idleTimeoutMs?: number };
      budget?: { rows?: number; bytes?: number; perMs: number };
      ssh?: RoleSsh;
    }
  | {
      admitted: false;
      code: 'NO_GRANT' | 'CONDITION_FALSE' | 'UNKNOWN_RESOURCE' | 'ENFORCEMENT_DEPTH' | 'PERSON_DEPROVISIONED';
      reason: string;
    };

/** What a protocol is able to enforce; a session whose policy asks for more is refused at admission. */
export interface EnforcementDepth {
  statements: boolean;
  columnMasking: boolean;
  detectors: boolean;
  approvals: boolean;
  preview: boolean;
  /** Does it count rows and bytes against a role's budget, or bytes alone? Absent: neither. */
  budgets?: boolean | 'bytes';
  predicates: boolean;
  /** Does it know programs, paths and connections (`match.programs` …)? Absent: no. */
  host?: boolean;
  /** Can it ask for the planner's estimate (`match.maxRows`)? Absent: no. */
  estimates?: boolean;
  capture: ('none' | 'digest' | 'head' | 'full')[];
}
