/** What a statement that worked has done to the names of statements and cursors, and to what flow analysis knows of the session. */
import type { SessionEffect } from '@sallyport/shared/sql/analyse.ts';
import type { Expected, Portal } from '../pipeline.ts';
import type { Relay } from '../relay.ts';

/** What a statement that worked has done to names. */
export function applyEffects(relay: Relay, head: Expected): void {
  const { judged } = head;
  if (judged === null) return;
  const statement = judged.statements[head.statementIndex];
  const { flow } = relay.judge;
  const found = judged.flow?.statements[head.statementIndex];
  if (flow !== null && found !== undefined) flow.completed(found, statement?.effects ?? []);
  if (!judged.hasEffects) return;
  for (const effect of statement?.effects ?? []) apply(relay, effect, head);
}

function apply(relay: Relay, effect: SessionEffect, head: Expected): void {
  const { pipeline, judge, session } = relay;
  switch (effect.type) {
    case 'prepare': {
      const name = Buffer.from(effect.name).toString('latin1');
      const judged = judge.ofFacts(effect.facts, session.inForce);
      pipeline.setStatement({
        name,
        judged,
        text: { text: relay.cleanText(effect.text).slice(0, 65_536), truncated: effect.text.length > 65_536 },
        parameterTypes: [],
        segment: pipeline.segment,
        confirmed: true,
        weight: 512 + 4 * effect.text.length,
        raw: Buffer.from(effect.text),
        copy: null,
        probed: null,
        missing: null,
        mustProbe: false,
      });
      return;
    }
    case 'deallocate':
      if (effect.name === null) pipeline.removeAllStatements();
      else pipeline.removeStatement(Buffer.from(effect.name).toString('latin1'), null);
      return;
    case 'discard':
      if (effect.target.includes('ALL')) {
        pipeline.removeAllStatements();
        pipeline.portals.clear();
      }
      return;
    case 'declare-cursor': {
      const name = Buffer.from(effect.name).toString('latin1');
      const portal: Portal = {
        name,
        judged: head.judged as NonNullable<Expected['judged']>,
        statement: null,
        parameters: [],
        segment: head.segment,
        holdable: effect.hold,
        statementIndex: head.statementIndex,
        bound: null,
        binding: null,
        lost: false,
        released: null,
        confirmed: true,
        described: false,
        plan: null,
      };
      pipeline.portals.set(name, portal);
      return;
    }
    case 'close-cursor':
      if (effect.name === null) pipeline.portals.clear();
      else pipeline.portals.delete(Buffer.from(effect.name).toString('latin1'));
      return;
    case 'set':
    case 'reset-all':
    case 'transaction':
    case 'execute':
    case 'fetch':
    case 'copy':
      return;
  }
}
