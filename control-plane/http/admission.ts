/**
 * May this principal reach this resource? The same `admit` as at the agent, over all manifests; compiled once per change. What the
 * protocol can enforce is the agent's to judge, which knows it.
 */

import type { CompiledPolicy } from '@sallyport/shared/policy/compile.ts';
import { admit } from '@sallyport/shared/policy/decide.ts';
import { EVERY_DEPTH } from '@sallyport/shared/policy/enforcement-depth.ts';
import type { Principal } from '@sallyport/shared/policy/model.ts';
import { policyOf } from '@sallyport/shared/policy/policy-of.ts';
import type { ControlLog } from '../aggregates/control-log.ts';
import { allManifests } from '../manifests/apply.ts';

export class AdmissionDesk {
  readonly #control: ControlLog;
  #compiled: { position: bigint; policy: CompiledPolicy } | null = null;

  constructor(control: ControlLog) {
    this.#control = control;
  }

  /** @param onlyRole the one role that may admit; absent: any. */
  isAdmitted(principal: Principal, resource: string, nowMs: number, onlyRole?: string): boolean {
    return admit(this.policy(), principal, resource, EVERY_DEPTH, new Date(nowMs), onlyRole).admitted;
  }

  /** The policy in force, over all resources. */
  policy(): CompiledPolicy {
    const { position, state } = this.#control;
    if (this.#compiled?.position !== position) this.#compiled = { position, policy: policyOf(allManifests(state), Number(position)) };
    return this.#compiled.policy;
  }
}
