/** The files under deploy/ are held to what the programs take: nothing here starts them. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { kafkaFlags } from '@sallyport/kafka/config.ts';
import { parse, parseAllDocuments } from 'yaml';
import { define as agent } from './commands/agent.ts';
import { define as controlPlane } from './commands/control-plane.ts';
import { watchedTerminal } from './watched-terminal.testing.ts';

const deploy = path.join(import.meta.dirname, '..', 'deploy');
const read = (...parts: string[]) => readFileSync(path.join(deploy, ...parts), 'utf8');

const flagsOf = (define: typeof agent) => define(watchedTerminal(), () => {}, []).options.map(({ long }) => long ?? '');
const known: Readonly<Record<string, string[]>> = {
  'control-plane': flagsOf(controlPlane),
  agent: flagsOf(agent),
  ingest: ['--clickhouse', '--http', '--log', ...Object.keys(kafkaFlags).map(name => `--${name}`)],
};
const variables = new Set([
  // The runtime's, and glibc's.
  ...['NODE_OPTIONS', 'MALLOC_ARENA_MAX', 'MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_'],
  ...Object.keys(kafkaFlags).map(name => `SALLYPORT_${name.toUpperCase().replaceAll('-', '_')}`),
  ...['SALLYPORT_KAFKA_PASSWORD', 'SALLYPORT_STORE_USER', 'SALLYPORT_STORE_PASSWORD', 'SALLYPORT_JOIN_TOKEN', 'CLICKHOUSE_URL'],
]);

/** Which program a command line is of, and that it takes every flag. */
function checkCommand(command: readonly string[], args: readonly string[], where: string): void {
  const isIngest = command.includes('control-plane/ingest/main.ts');
  const program = isIngest ? 'ingest' : (args[0] ?? '');
  const flags = (isIngest ? args : args.slice(1)).map(arg => arg.split('=')[0] ?? '');
  assert.ok(known[program], `${where}: ${program} is no program`);
  for (const flag of flags) assert.ok(known[program]?.includes(flag), `${where}: ${program} takes no ${flag}`);
}

interface Service {
  image: string;
  command?: string[];
  entrypoint?: string[];
  environment?: Record<string, string>;
  volumes?: string[];
  secrets?: string[];
  depends_on?: string[];
  read_only?: boolean;
}

test('deploy/compose: programs, flags, variables, volumes and secrets are there', () => {
  const compose = parse(read('compose', 'compose.yaml'), { merge: true }) as {
    services: Record<string, Service>;
    volumes: Record<string, unknown>;
    secrets: Record<string, unknown>;
  };
  const ours = Object.entries(compose.services).filter(([, { image }]) => image.startsWith('sallyport:'));
  assert.deepEqual(ours.map(([name]) => name).sort(), ['agent', 'control-plane-1', 'control-plane-2', 'ingest-1', 'ingest-2']);
  for (const [name, service] of ours) {
    checkCommand(service.entrypoint ?? [], service.command ?? [], name);
    for (const variable of Object.keys(service.environment ?? {})) assert.ok(variables.has(variable), `${name}: ${variable}`);
    for (const secret of service.secrets ?? []) assert.ok(secret in compose.secrets, `${name}: ${secret}`);
    assert.equal(service.read_only, true, name);
  }
  for (const [name, service] of Object.entries(compose.services)) {
    assert.match(service.image, /:\d/, `${name}: a version, not what is newest`);
    for (const volume of service.volumes ?? []) assert.ok((volume.split(':')[0] ?? '') in compose.volumes, `${name}: ${volume}`);
    for (const other of service.depends_on ?? []) assert.ok(other in compose.services, `${name}: ${other}`);
  }
});

interface Container {
  name: string;
  image: string;
  command?: string[];
  args?: string[];
  envFrom?: { configMapRef?: { name: string }; secretRef?: { name: string } }[];
  securityContext: { readOnlyRootFilesystem: boolean; allowPrivilegeEscalation: boolean };
  volumeMounts: { name: string }[];
  ports?: { name: string }[];
}

interface Workload {
  kind: string;
  metadata: { name: string };
  spec: {
    selector: { matchLabels?: Record<string, string> } & Record<string, unknown>;
    ports?: { targetPort: string }[];
    volumeClaimTemplates?: { metadata: { name: string } }[];
    template?: {
      metadata: { labels: Record<string, string> };
      spec: {
        containers: Container[];
        initContainers?: Container[];
        securityContext: { runAsNonRoot: boolean };
        volumes: { name: string; secret?: { secretName: string }; configMap?: { name: string } }[];
      };
    };
  };
}

test('deploy/kubernetes: programs, flags, volumes, secrets and ports are there, and nothing runs as root', () => {
  const kustomization = parse(read('kubernetes', 'kustomization.yaml')) as {
    resources: string[];
    configMapGenerator: { name: string; literals: string[] }[];
  };
  const files = readdirSync(path.join(deploy, 'kubernetes')).filter(name => name !== 'kustomization.yaml');
  assert.deepEqual([...kustomization.resources].sort(), files.sort());
  for (const { literals } of kustomization.configMapGenerator) {
    for (const literal of literals) assert.ok(variables.has(literal.split('=')[0] ?? ''), literal);
  }
  const readme = read('README.md');
  const generated = new Set(kustomization.configMapGenerator.map(({ name }) => name));
  const isKnown = (name: string) => generated.has(name) || readme.includes(`\`${name}\``);
  const objects = files.flatMap(file => parseAllDocuments(read('kubernetes', file)).map(document => document.toJS() as Workload));
  const ports = new Map<string, string[]>();
  for (const { kind, metadata, spec } of objects) {
    const { template } = spec;
    if (template === undefined) continue;
    const where = `${kind} ${metadata.name}`;
    const pod = template.spec;
    assert.equal(pod.securityContext.runAsNonRoot, true, where);
    assert.deepEqual(spec.selector.matchLabels, template.metadata.labels, where);
    const volumes = new Set([...pod.volumes, ...(spec.volumeClaimTemplates ?? []).map(claim => claim.metadata)].map(({ name }) => name));
    for (const { secret, configMap } of pod.volumes)
      for (const name of [secret?.secretName, configMap?.name]) if (name) assert.ok(isKnown(name), name);
    for (const container of [...pod.containers, ...(pod.initContainers ?? [])]) {
      const { readOnlyRootFilesystem, allowPrivilegeEscalation } = container.securityContext;
      assert.deepEqual([readOnlyRootFilesystem, allowPrivilegeEscalation], [true, false], `${where} ${container.name}`);
      for (const { name } of container.volumeMounts) assert.ok(volumes.has(name), `${where}: ${name}`);
      for (const { configMapRef, secretRef } of container.envFrom ?? [])
        assert.ok(isKnown(configMapRef?.name ?? secretRef?.name ?? ''), where);
    }
    for (const container of pod.containers) checkCommand(container.command ?? [], container.args ?? [], where);
    ports.set(
      metadata.name,
      pod.containers.flatMap(container => (container.ports ?? []).map(({ name }) => name)),
    );
  }
  assert.deepEqual([...ports.keys()].sort(), ['agent', 'control-plane', 'ingest']);
  for (const { kind, metadata, spec } of objects) {
    if (kind !== 'Service') continue;
    for (const { targetPort } of spec.ports ?? [])
      assert.ok(ports.get(metadata.name)?.includes(targetPort), `${metadata.name}: ${targetPort}`);
  }
});

test('deploy/image: what the image starts is there', () => {
  const dockerfile = read('image', 'Dockerfile');
  assert.match(dockerfile, /^FROM node:26/m);
  assert.match(dockerfile, /^USER node$/m);
  const bin = JSON.parse(readFileSync(path.join(import.meta.dirname, 'package.json'), 'utf8')) as { bin: Record<string, string> };
  assert.ok(dockerfile.includes('node_modules/.bin/sallyport') && bin.bin['sallyport']);
});
