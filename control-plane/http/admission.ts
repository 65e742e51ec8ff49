/**
 * May this principal reach this resource? The same `admit` as at the agent, over all manifests; compiled once per change. What the
 * protocol can enforce is the agent's to judge, which knows it.
 */

import { admitWithGrants, rolesWithGrants } from '@sallyport/shared/policy/access-grants.ts';
import type { CompiledPolicy } from '@sallyport/shared/policy/compile.ts';
import { EVERY_DEPTH } from '@sallyport/shared/policy/enforcement-depth.ts';
import type { Manifest, Principal } from '@sallyport/shared/policy/model.ts';
import { policyOf } from '@sallyport/shared/policy/policy-of.ts';
import type { ControlLog } from '../aggregates/control-log.ts';
import type { Projection } from '../aggregates/projection.ts';
import { allManifests } from '../manifests/apply.ts';

export class AdmissionDesk {
  readonly #control: ControlLog;
  #compiled: { position: bigint; policy: CompiledPolicy } | null = null;

  constructor(control: ControlLog) {
    this.#control = control;
  }

  /** @param onlyRole the one role that may admit; absent: any. */
  isAdmitted(principal: Principal, resource: string, nowMs: number, onlyRole?: string): boolean {
    const grants = this.#control.state.accessGrants(nowMs);
    return admitWithGrants(this.policy(), grants, principal, resource, EVERY_DEPTH, new Date(nowMs), onlyRole).admitted;
  }

  /** The policy in force, over all resources. */
  policy(): CompiledPolicy {
    const { position, state } = this.#control;
    if (this.#compiled?.position !== position)
      this.#compiled = { position, policy: policyOf(withGrants(allManifests(state), state), Number(position)) };
    return this.#compiled.policy;
  }
}

/** Every grant that has not ended: whether its time is over is asked at each admission. */
function withGrants(manifests: Manifest[], state: Projection): Manifest[] {
  const grants = state.accessGrants(0);
  if (grants.length === 0) return manifests;
  return manifests.map(manifest => {
    if (manifest.kind !== 'Role') return manifest;
    const [role] = rolesWithGrants([manifest as Manifest<'Role'>], grants);
    return role === undefined ? manifest : { ...manifest, spec: role.spec };
  });
}
