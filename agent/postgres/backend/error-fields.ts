/** Errors and notices as the client may see them. */
import { replaceSpans } from '@sallyport/shared/masking/mask.ts';
import type { CommandRun } from '../command-run.ts';
import { reducedText } from '../errors.ts';
import { type ErrorField, errorField } from '../messages.ts';
import { NO_SUCH_NAME } from '../names.ts';
import type { Replacement } from '../pipeline.ts';
import { namesProtectedTable } from '../protected-tables.ts';
import type { Relay } from '../relay.ts';
import { valueFree } from './value-free.ts';

/** Error or notice fields without protected values; null when they may stay as they are. */
export function scrubFields(relay: Relay, fields: readonly ErrorField[], run: CommandRun | null): readonly ErrorField[] | null {
  const { detectors, policy } = relay.session.inForce;
  let shown = fields;
  if (run?.touchesProtected === true || comesFromProtected(relay, fields)) {
    const { flow } = relay;
    const known = valueFree(fields, {
      ownRows: run?.ownRows === true,
      protectedColumns: () => flow?.protectedColumnNames(relay.session.inForce) ?? null,
    });
    const code = errorField(fields, 'C');
    if (known === null)
      return [
        ['S', errorField(fields, 'S')],
        ['V', errorField(fields, 'V')],
        ['C', code],
        ['M', reducedText(code)],
      ];
    shown = known;
  }
  let changed = shown !== fields;
  if (detectors === null) return changed ? shown : null;
  const clean = shown.map(([code, text]): ErrorField => {
    if (code === 'S' || code === 'V' || code === 'C') return [code, text];
    const bytes = Buffer.from(text);
    const spans = detectors.scan(bytes, 0, bytes.length);
    if (spans.length === 0) return [code, text];
    changed = true;
    if (run !== null) {
      run.maskedValues += spans.length;
      for (const span of spans) run.classify(span.detector);
    }
    return [
      code,
      Buffer.from(replaceSpans(bytes, 0, bytes.length, spans, policy.detectorMask, relay.session.resource.maskKey)).toString('utf8'),
    ];
  });
  return changed ? clean : null;
}

/** It names a protected table, whatever statement it comes from: a constraint that was deferred, a cascade, a trigger. */
function comesFromProtected({ judge, session, index }: Relay, fields: readonly ErrorField[]): boolean {
  const { policy } = session.inForce;
  if (!policy.hasColumnRules) return false;
  const table = errorField(fields, 't');
  if (table !== '' && judge.isProtected(`${errorField(fields, 's') || '*'}.${table}`)) return true;
  const context = errorField(fields, 'W');
  return context !== '' && namesProtectedTable(context, policy, index);
}

/** The server's error about a name of the gateway's, with the client's name in it. */
export function renamed(fields: readonly ErrorField[], { name, code }: Replacement): readonly ErrorField[] | null {
  if (name === undefined || errorField(fields, 'C') !== code) return null;
  return fields.map(([field, text]): ErrorField => [field, text.replaceAll(NO_SUCH_NAME, name)]);
}
