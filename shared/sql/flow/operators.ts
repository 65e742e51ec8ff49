/** Operators and casts: built-in ones compute; those of someone's own call a function of someone's own. */
import type { TypeName } from 'libpg-query';
import { nameParts } from '../ast.ts';
import { relationKey } from './catalog.ts';
import type { Context } from './context.ts';
import { callFunction } from './functions.ts';
import { schemasInOrder } from './relations.ts';
import { computed, labelsOf, unionLabels, type Value } from './value.ts';

/** An operator on one or two values; the result carries the labels of both. */
export function operator(parts: readonly string[], operands: readonly Value[], ctx: Context): Value {
  const value = computed(
    labelsOf(operands),
    0,
    operands.every(operand => operand.constant),
  );
  const name = parts.at(-1) ?? '';
  const schema = parts.length > 1 ? parts[parts.length - 2] : undefined;
  if (schema === 'pg_catalog') return value;
  const candidates = ctx.catalog.operators.get(name);
  if (candidates === undefined) {
    if (schema !== undefined) ctx.unknown('function-missing', `operator ${schema}.${name} is not known`);
    return value; // built in, or the server does not have it
  }
  for (const candidate of candidates) {
    if (schema !== undefined ? candidate.schema !== schema : !schemasInOrder(ctx.searchPath).includes(candidate.schema)) continue;
    const wanted = candidate.left === 0 ? [candidate.right] : [candidate.left, candidate.right];
    if (wanted.length !== operands.length) continue;
    if (schema === undefined && wanted.some((type, i) => notOfType(type, operands[i], ctx))) continue;
    const fn = ctx.catalog.functions.get(candidate.function);
    // An operator over a built-in function computes as the built-in does.
    if (fn !== undefined) {
      const own = callFunction(fn, operands, ctx).value;
      if (own.labels.size > value.labels.size) return own;
    }
  }
  return value;
}

/** The operator wants a type of someone's own, and the operand is known to be of another. */
function notOfType(wanted: number, operand: Value | undefined, ctx: Context): boolean {
  const type = ctx.catalog.types.get(wanted);
  // A value becomes one of a domain by itself.
  if (type === undefined || type.schema === 'pg_catalog' || type.kind === 'd') return false;
  return operand !== undefined && operand.type !== 0 && operand.type !== wanted;
}

/** A value cast to a type. */
export function cast(value: Value, typeName: TypeName, ctx: Context): Value {
  const type = typeOf(typeName, ctx);
  let { labels } = value;
  for (const candidate of ctx.catalog.casts.get(type) ?? []) {
    if (value.type !== 0 && value.type !== candidate.source) continue;
    const fn = ctx.catalog.functions.get(candidate.function);
    if (fn !== undefined) labels = unionLabels(labels, callFunction(fn, [value], ctx).value.labels);
  }
  const fields = value.fields !== null && (type === 0 || type === value.type) ? value.fields : null;
  return { labels, plains: null, witness: null, type, fields, constant: value.constant };
}

/** A type's OID; 0 when it is not known. */
export function typeOf(typeName: TypeName, ctx: Context): number {
  const parts = nameParts(typeName.names);
  const name = parts.at(-1) ?? '';
  const schemas = parts.length > 1 ? [parts[parts.length - 2] ?? ''] : schemasInOrder(ctx.searchPath);
  for (const schema of schemas) {
    const type = ctx.catalog.typesByName.get(relationKey(schema, name));
    if (type === undefined) continue;
    return (typeName.arrayBounds ?? []).length > 0 ? type.array : type.oid;
  }
  return 0;
}
