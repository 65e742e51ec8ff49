/** The API reference, made from openapi.json by this page itself. */
import { badge, el } from './dom.js';

const main = document.getElementById('operations');

function fields(schema, required = new Set(schema?.required ?? [])) {
  const properties = Object.entries(schema?.properties ?? {});
  if (properties.length === 0) return null;
  return el(
    'dl',
    {},
    ...properties.flatMap(([name, property]) => [
      el('dt', { class: 'mono' }, required.has(name) ? name : `${name}?`),
      el('dd', {}, [typeOf(property), property.description].filter(Boolean).join(' — ')),
    ]),
  );
}

function typeOf(schema) {
  if (schema.enum) return schema.enum.join(' | ');
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(' | ');
  if (schema.type === 'array') return `list of ${typeOf(schema.items ?? {})}`;
  const bounds = [
    schema.minimum !== undefined && `≥ ${schema.minimum}`,
    schema.maximum !== undefined && `≤ ${schema.maximum}`,
    schema.default !== undefined && `default ${schema.default}`,
  ];
  return [schema.format ?? schema.type ?? 'any', ...bounds.filter(Boolean)].join(', ');
}

function operation(path, method, spec) {
  const body = spec.requestBody?.content?.['application/json']?.schema;
  const answer = Object.entries(spec.responses ?? {}).find(([code]) => code.startsWith('2'));
  const answerSchema = answer?.[1].content?.['application/json']?.schema;
  return el(
    'article',
    { id: spec.operationId },
    el('h3', {}, badge(method.toUpperCase()), ' ', el('code', {}, path)),
    el('p', {}, spec.summary ?? ''),
    spec.description && el('p', {}, spec.description),
    ...(spec.parameters ?? []).map(({ name, in: place, schema, required }) =>
      el('p', { class: 'mono' }, `${name}${required ? '' : '?'} (${place}): ${typeOf(schema)}`),
    ),
    body && el('h4', {}, 'Body'),
    body && fields(body),
    answerSchema && el('h4', {}, `Answer ${answer[0]}`),
    answerSchema && fields(answerSchema),
  );
}

const document_ = await (await fetch('/openapi.json')).json();
const tags = new Map();
for (const [path, methods] of Object.entries(document_.paths)) {
  for (const [method, spec] of Object.entries(methods)) {
    const tag = spec.tags?.[0] ?? 'other';
    tags.set(tag, [...(tags.get(tag) ?? []), operation(path, method, spec)]);
  }
}
main.append(
  el(
    'p',
    {},
    'Send a token with every call that is not public: ',
    el('code', {}, 'Authorization: Bearer …'),
    '. Errors are RFC 9457 problem documents with a stable ',
    el('code', {}, 'code'),
    '.',
  ),
);
for (const [tag, articles] of tags) main.append(el('h2', {}, tag[0].toUpperCase() + tag.slice(1)), ...articles);
