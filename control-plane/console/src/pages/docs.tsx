/** The API reference, from the document that the server makes of its own schemas. */
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api } from '../api/client.ts';
import { Badge, Card, ErrorNote, Loading, Page } from '../ui/basics.tsx';

interface Schema {
  type?: string;
  format?: string;
  description?: string;
  enum?: string[];
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  minimum?: number;
  maximum?: number;
  default?: unknown;
}

interface Operation {
  operationId?: string;
  tags?: string[];
  summary?: string;
  description?: string;
  parameters?: { name: string; in: string; required?: boolean; schema?: Schema }[];
  requestBody?: { content?: Record<string, { schema?: Schema }> };
  responses?: Record<string, { content?: Record<string, { schema?: Schema }> }>;
}

interface Endpoint extends Operation {
  method: string;
  path: string;
}

export function DocsPage() {
  const document = useQuery({
    queryKey: ['openapi'],
    queryFn: ({ signal }) => api<{ paths: Record<string, Record<string, Operation>> }>('/openapi.json', { signal }),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const [find, setFind] = useState('');
  const endpoints = Object.entries(document.data?.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): Endpoint => ({ ...operation, method, path })),
  );
  const wanted = find.trim().toLowerCase();
  const found = endpoints.filter(({ path, summary = '' }) => wanted === '' || `${path} ${summary}`.toLowerCase().includes(wanted));
  const tags = [...new Set(found.map(({ tags: [tag = 'other'] = [] }) => tag))];
  return (
    <Page
      title="API reference"
      actions={
        <>
          <input
            className="input find"
            type="search"
            aria-label="Find a route"
            placeholder="Find"
            value={find}
            onChange={event => setFind(event.target.value)}
          />
          <a className="button" href="/openapi.json" download="sallyport-openapi.json">
            OpenAPI
          </a>
        </>
      }
    >
      {document.isPending && <Loading />}
      {document.isError && <ErrorNote error={document.error} retry={() => void document.refetch()} />}
      <div className="pad col narrow" style={{ gap: 20 }}>
        <p className="soft">
          Send a token with every call that is not public: <code>Authorization: Bearer …</code>. Errors are RFC 9457 problem documents with
          a stable <code>code</code>.
        </p>
        {tags.map(tag => (
          <section key={tag} className="col">
            <h2>{tag}</h2>
            {found
              .filter(({ tags: [own = 'other'] = [] }) => own === tag)
              .map(endpoint => (
                <EndpointCard key={`${endpoint.method} ${endpoint.path}`} endpoint={endpoint} />
              ))}
          </section>
        ))}
      </div>
    </Page>
  );
}

function EndpointCard({ endpoint }: { endpoint: Endpoint }) {
  const body = endpoint.requestBody?.content?.['application/json']?.schema;
  const [status = '', answer] = Object.entries(endpoint.responses ?? {}).find(([code]) => code.startsWith('2')) ?? [];
  const answerSchema = answer?.content?.['application/json']?.schema;
  return (
    <Card
      title={
        <>
          <Badge tone={endpoint.method === 'get' ? 'info' : 'wait'}>{endpoint.method.toUpperCase()}</Badge> <code>{endpoint.path}</code>
        </>
      }
    >
      <div className="col">
        <p>{endpoint.summary}</p>
        {endpoint.description && <p className="soft">{endpoint.description}</p>}
        {(endpoint.parameters ?? []).length > 0 && (
          <Fields
            title="Parameters"
            schema={{
              properties: Object.fromEntries((endpoint.parameters ?? []).map(each => [each.name, each.schema ?? {}])),
              required: (endpoint.parameters ?? []).filter(({ required }) => required).map(({ name }) => name),
            }}
          />
        )}
        {body && <Fields title="Body" schema={body} />}
        {answerSchema && <Fields title={`Answer ${status}`} schema={answerSchema} />}
      </div>
    </Card>
  );
}

function Fields({ title, schema }: { title: string; schema: Schema }) {
  const properties = Object.entries(schema.properties ?? {});
  if (properties.length === 0) return null;
  return (
    <div className="col" style={{ gap: 4 }}>
      <h3>{title}</h3>
      <dl className="facts">
        {properties.map(([name, property]) => (
          <div key={name} style={{ display: 'contents' }}>
            <dt className="mono">{schema.required?.includes(name) ? name : `${name}?`}</dt>
            <dd className="soft">{[typeText(property), property.description].filter(Boolean).join(': ')}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

function typeText(schema: Schema): string {
  if (schema.enum) return schema.enum.join(' | ');
  if (schema.anyOf) return schema.anyOf.map(typeText).join(' | ');
  if (schema.type === 'array') return `list of ${typeText(schema.items ?? {})}`;
  const bounds = [
    schema.minimum !== undefined && `≥ ${schema.minimum}`,
    schema.maximum !== undefined && `≤ ${schema.maximum}`,
    schema.default !== undefined && `default ${String(schema.default)}`,
  ];
  return [schema.format ?? schema.type ?? 'any', ...bounds.filter(Boolean)].join(', ');
}
