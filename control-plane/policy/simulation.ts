/**
 * Policy replayed over recorded traffic: the manifests in force with the proposed ones in their place, against what the session store
 * holds of a period. It changes nothing. One at a time, in small steps: agents and people are served meanwhile.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { CompiledPolicy } from '@sallyport/shared/policy/compile.ts';
import { parseManifests } from '@sallyport/shared/policy/manifests.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import { policyOf } from '@sallyport/shared/policy/policy-of.ts';
import type { CatalogView } from '@sallyport/shared/rehearsal/catalog-file.ts';
import type { ReplayReport } from '@sallyport/shared/rehearsal/replay-report.ts';
import type { SessionHistory } from '../http/session-history.ts';
import { ManifestsInvalid } from '../manifests/apply.ts';
import { withoutSecrets } from '../manifests/secrets-of.ts';
import type { Catalogs } from './catalogs.ts';
import { formsOf, type Period, stretchesOf } from './recorded-forms.ts';

export interface SimulationRequest {
  /** Proposed; those in force that they do not name stay. */
  files: readonly { file: string; text: string }[];
  inForce: readonly Manifest[];
  period: Period;
  readFile: (path: string, from: string) => string;
}

export interface Progress {
  done: number; // commands
  total: number;
}

export interface SimulationReport extends ReplayReport {
  since: string;
  until: string;
  /** Manifests that differ from those in force, or are new. */
  proposed: { kind: string; name: string }[];
  /** Commands that were left out because a stretch of time held too many different ones. */
  leftOut: number;
  /** What no replay can know, where this policy has it. */
  notReplayed: string[];
}

/** Forms judged before others get their turn. */
const formsAtOnce = 50;

export class Simulations {
  readonly #history: SessionHistory;
  readonly #catalogs: Catalogs;
  #running = false;

  constructor(history: SessionHistory, catalogs: Catalogs) {
    this.#history = history;
    this.#catalogs = catalogs;
  }

  /**
   * @param signal ends it early, by throwing its reason.
   * @throws {ManifestsInvalid}, {GatewayError} SIMULATION_BUSY, STORE_UNAVAILABLE.
   */
  async run(request: SimulationRequest, onProgress: (progress: Progress) => void, signal: AbortSignal): Promise<SimulationReport> {
    const { files, inForce, period, readFile } = request;
    const parsed = parseManifests(
      files.map(({ file, text }) => ({ path: file, text })),
      { readFile, existing: inForce },
    );
    if (parsed.problems.length > 0) throw new ManifestsInvalid(parsed.problems);
    if (this.#running) {
      throw new GatewayError('SIMULATION_BUSY', 'conflict', 'Another simulation runs on this control plane. Try again when it is done.');
    }
    this.#running = true;
    try {
      // Every protocol's grammar, which most replicas are never asked for.
      const [{ Replay }, { ReplayTally }, { loadParser }] = await Promise.all([
        import('@sallyport/shared/rehearsal/replay.ts'),
        import('@sallyport/shared/rehearsal/replay-report.ts'),
        import('@sallyport/shared/sql/parser.ts'),
      ]);
      await loadParser();
      const policy = policyOf([...inForce, ...parsed.manifests]);
      const stretches = await stretchesOf(this.#history, period);
      const total = stretches.reduce((sum, stretch) => sum + stretch.commands, 0);
      const { catalogs, problems } = total === 0 ? { catalogs: new Map(), problems: new Map() } : await this.#catalogsFor(policy);
      const replay = new Replay({ policy, inForce: policyOf(inForce), catalogs, catalogProblems: problems });
      const tally = new ReplayTally();
      const byMinute = dependsOnTime(policy);
      let done = 0;
      let leftOut = 0;
      onProgress({ done, total });
      for (const stretch of stretches) {
        const forms = await formsOf(this.#history, stretch, byMinute);
        let seen = 0;
        for (const [i, form] of forms.entries()) {
          tally.add(form, replay.outcome(form));
          seen += form.count;
          if (i % formsAtOnce === formsAtOnce - 1) {
            await nextTurn();
            signal.throwIfAborted();
          }
        }
        signal.throwIfAborted();
        done += stretch.commands;
        leftOut += Math.max(0, stretch.commands - seen);
        onProgress({ done, total });
      }
      return {
        since: new Date(period.sinceMs).toISOString(),
        until: new Date(period.untilMs).toISOString(),
        proposed: changed(parsed.manifests, inForce),
        leftOut,
        notReplayed: notReplayed(policy),
        ...tally.report(),
      };
    } finally {
      this.#running = false;
    }
  }

  /** Of the resources that have column rules under the new policy. */
  async #catalogsFor(policy: CompiledPolicy): Promise<{ catalogs: Map<string, CatalogView>; problems: Map<string, string> }> {
    const catalogs = new Map<string, CatalogView>();
    const problems = new Map<string, string>();
    for (const { name, spec, dataPolicies } of policy.resources.values()) {
      if (spec.protocol !== 'postgres' || !dataPolicies.some(data => data.columns.length > 0)) continue;
      try {
        catalogs.set(name, (await this.#catalogs.read(name)).view);
      } catch (error) {
        if (!(error instanceof GatewayError) || error.kind === 'internal') throw error;
        problems.set(name, error.message);
      }
    }
    return { catalogs, problems };
  }
}

function dependsOnTime({ resources }: CompiledPolicy): boolean {
  const asksTime = (when: unknown) => typeof when === 'object' && when !== null && 'usesNow' in when && when.usesNow === true;
  return [...resources.values()].some(
    ({ roles, rules }) => roles.some(role => asksTime(role.when)) || rules.some(rule => asksTime(rule.when)),
  );
}

function notReplayed({ resources }: CompiledPolicy): string[] {
  const all = [...resources.values()];
  return [
    ...(all.some(({ dataPolicies }) => dataPolicies.some(data => data.detectors.length > 0))
      ? ['what detectors would find: records hold no values to look into']
      : []),
    ...(all.some(({ roles }) => roles.some(role => role.spec.budget !== undefined)) ? ['budgets'] : []),
    ...(all.some(({ roles }) =>
      roles.some(role => role.spec.session.maxDurationMs !== undefined || role.spec.session.idleTimeoutMs !== undefined),
    )
      ? ['ends of sessions by their duration or idleness']
      : []),
    ...(all.some(({ dataPolicies }) => dataPolicies.some(data => data.columns.some(column => column.action === 'mask')))
      ? ['changes from one kind of mask to another']
      : []),
  ];
}

function changed(proposed: readonly Manifest[], inForce: readonly Manifest[]): { kind: string; name: string }[] {
  const known = new Map(inForce.map(manifest => [`${manifest.kind}/${manifest.name}`, JSON.stringify(manifest.spec)]));
  return proposed
    .filter(each => known.get(`${each.kind}/${each.name}`) !== JSON.stringify(withoutSecrets(each).spec))
    .map(({ kind, name }) => ({ kind, name }));
}
