/**
 * May this principal reach this resource? The same `admit` as at the agent, over all manifests; compiled once per change. What the
 * protocol can enforce is the agent's to judge, which knows it.
 */

import type { LeaseBundle, Named } from '@sallyport/shared/policy/bundle.ts';
import { type CompiledPolicy, compilePolicy } from '@sallyport/shared/policy/compile.ts';
import { admit } from '@sallyport/shared/policy/decide.ts';
import type { EnforcementDepth } from '@sallyport/shared/policy/decision.ts';
import type { Kind, Manifest, Principal, SpecOf } from '@sallyport/shared/policy/model.ts';
import type { ControlLog } from '../aggregates/control-log.ts';
import { oidcProviders } from '../manifests/identity-providers.ts';

const everything: EnforcementDepth = {
  statements: true,
  columnMasking: true,
  detectors: true,
  approvals: true,
  preview: true,
  predicates: true,
  estimates: true,
  capture: ['none', 'digest', 'head', 'full'],
};

export class AdmissionDesk {
  readonly #control: ControlLog;
  #compiled: { position: bigint; policy: CompiledPolicy } | null = null;

  constructor(control: ControlLog) {
    this.#control = control;
  }

  isAdmitted(principal: Principal, resource: string, nowMs: number): boolean {
    return admit(this.#policy(), principal, resource, everything, new Date(nowMs)).admitted;
  }

  #policy(): CompiledPolicy {
    const { position, state } = this.#control;
    if (this.#compiled?.position === position) return this.#compiled.policy;
    const named = <K extends Kind>(kind: K): Named<SpecOf[K]>[] =>
      state.manifests(kind).map(({ manifest }) => ({ name: manifest.name, spec: (manifest as Manifest<K>).spec }));
    const bundle: LeaseBundle = {
      version: Number(position),
      agentId: '',
      issuedAt: '',
      expiresAt: '',
      tickets: { issuer: '', keys: [] },
      identityProviders: oidcProviders(state),
      serviceAccounts: named('ServiceAccount'),
      resources: state.manifests('Resource').map(({ manifest }) => ({
        name: manifest.name,
        labels: manifest.labels,
        spec: (manifest as Manifest<'Resource'>).spec,
      })),
      roles: named('Role'),
      guards: named('Guard'),
      dataPolicies: named('DataPolicy'),
      auditPolicies: named('AuditPolicy'),
      credentials: {},
      servingKeys: {},
      knownCredentials: null,
      maskKeys: {},
      revokedTokens: [],
    };
    this.#compiled = { position, policy: compilePolicy(bundle) };
    return this.#compiled.policy;
  }
}
