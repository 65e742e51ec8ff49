/**
 * A real Apache Kafka for tests and benchmarks: one node, or three, in KRaft mode, every node broker and controller. Loopback only.
 *
 * Each node listens in the clear and with SASL_SSL (its certificate by a CA of its own; SCRAM-SHA-512 and PLAIN). Nodes can be killed,
 * stopped for a while and started again. Heaps are small: tests share the machine.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { freePort, makeCertificates } from './postgres.ts';

export interface KafkaCluster {
  /** host:port of every node's listener in the clear. */
  brokers: string[];
  /** host:port of every node's SASL_SSL listener. */
  secureBrokers: string[];
  /** Path of the CA's certificate, PEM. */
  ca: string;
  user: { name: string; password: string };
  /** Ends a node at once (SIGKILL). Nodes count from 1. */
  kill(node: number): Promise<void>;
  /** Starts a killed node again, on its data and its ports. */
  revive(node: number): Promise<void>;
  /** Runs one of Kafka's own tools by class name and returns what it prints. */
  tool(className: string, ...args: string[]): string;
  stop(): Promise<void>;
}

interface Node {
  id: number;
  plain: number;
  controller: number;
  secure: number;
  process: ChildProcess | null;
}

const startMsMax = 240_000;
const user = { name: 'sallyport', password: 'sallyport-kafka-secret' };

/**
 * @param options.nodes 1 or 3; with 3, topics have three replicas of which two must answer.
 * @param options.settings further lines of server.properties.
 */
export async function startKafka(
  options: { nodes?: 1 | 3; heapMegabytes?: number; settings?: Record<string, string> } = {},
): Promise<KafkaCluster> {
  const here = path.join(import.meta.dirname, 'kafka');
  execFileSync(path.join(here, 'install.sh'), { stdio: ['ignore', 'inherit', 'inherit'] });
  const home = path.join(import.meta.dirname, '..', '..', '.cache', 'kafka-4.3.1');
  const dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-kafka-'));
  const count = options.nodes ?? 1;
  const jvm = (heapMegabytes: number): string[] => [
    `-Xmx${heapMegabytes}m`,
    '-XX:+UseSerialGC',
    '-XX:TieredStopAtLevel=1',
    '-Xshare:auto',
    '-Djava.awt.headless=true',
    `-Dlog4j2.configurationFile=${path.join(here, 'log4j2.properties')}`,
    '-cp',
    path.join(home, 'libs', '*'),
  ];
  const tool = (className: string, ...args: string[]): string =>
    execFileSync('java', [...jvm(128), className, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

  const nodes: Node[] = [];
  for (let id = 1; id <= count; id++) {
    nodes.push({ id, plain: await freePort(), controller: await freePort(), secure: await freePort(), process: null });
  }
  const tls = path.join(dir, 'tls');
  makeCertificates(tls);
  const key = execFileSync('openssl', ['pkcs8', '-topk8', '-nocrypt', '-in', path.join(tls, 'server.key')], { encoding: 'utf8' });
  const chain = ['server.crt', 'ca.crt'].map(name => readFileSync(path.join(tls, name), 'utf8'));
  writeFileSync(path.join(tls, 'server.pem'), [key, ...chain].join(''), { mode: 0o600 });
  // As Kafka's own ids, it does not begin with `-`: the tool would take it for an option.
  const clusterId = Buffer.of(0, ...randomBytes(15)).toString('base64url');
  const folder = (node: Node) => path.join(dir, `n${node.id}`);
  for (const node of nodes) {
    mkdirSync(path.join(folder(node), 'data'), { recursive: true });
    writeFileSync(path.join(folder(node), 'server.properties'), properties(node, nodes, dir, options.settings ?? {}));
    const credentials = `SCRAM-SHA-512=[name=${user.name},password=${user.password}]`;
    const config = path.join(folder(node), 'server.properties');
    tool('kafka.tools.StorageTool', 'format', '--ignore-formatted', '-t', clusterId, '-c', config, '-S', credentials);
  }

  const start = async (node: Node): Promise<void> => {
    const log = path.join(folder(node), 'log');
    writeFileSync(log, '');
    const out = openSync(log, 'a');
    const args = [...jvm(options.heapMegabytes ?? 256), 'kafka.Kafka', path.join(folder(node), 'server.properties')];
    const child = spawn('java', args, { stdio: ['ignore', out, out] });
    node.process = child;
    const deadline = Date.now() + startMsMax;
    while (!readFileSync(log, 'utf8').includes('Kafka Server started')) {
      if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline) {
        throw new Error(`Kafka node ${node.id} did not start:\n${readFileSync(log, 'utf8').slice(-4000)}`);
      }
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  };
  const end = async (node: Node, signal: NodeJS.Signals): Promise<void> => {
    const child = node.process;
    node.process = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise(resolve => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  };
  const nodeOf = (id: number): Node => {
    const node = nodes[id - 1];
    if (node === undefined) throw new Error(`there is no node ${id}`);
    return node;
  };
  const stop = async (): Promise<void> => {
    // What is thrown away need not be put in order first.
    await Promise.all(nodes.map(node => end(node, 'SIGKILL')));
    if (existsSync(dir)) rmSync(dir, { recursive: true, force: true });
  };
  try {
    await Promise.all(nodes.map(start));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    brokers: nodes.map(node => `127.0.0.1:${node.plain}`),
    secureBrokers: nodes.map(node => `127.0.0.1:${node.secure}`),
    ca: path.join(tls, 'ca.crt'),
    user,
    kill: id => end(nodeOf(id), 'SIGKILL'),
    revive: id => start(nodeOf(id)),
    tool,
    stop,
  };
}

function properties(node: Node, nodes: readonly Node[], dir: string, settings: Record<string, string>): string {
  const replicas = nodes.length >= 3 ? 3 : 1;
  const inSync = nodes.length >= 3 ? 2 : 1;
  const lines: Record<string, string | number> = {
    'process.roles': 'broker,controller',
    'node.id': node.id,
    'controller.quorum.voters': nodes.map(each => `${each.id}@127.0.0.1:${each.controller}`).join(','),
    listeners: `PLAINTEXT://127.0.0.1:${node.plain},CONTROLLER://127.0.0.1:${node.controller},SASL_SSL://127.0.0.1:${node.secure}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${node.plain},SASL_SSL://127.0.0.1:${node.secure}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL',
    'inter.broker.listener.name': 'PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-512',
    'listener.name.sasl_ssl.plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required user_${user.name}="${user.password}";`,
    'listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config': 'org.apache.kafka.common.security.scram.ScramLoginModule required;',
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': path.join(dir, 'tls', 'server.pem'),
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': path.join(dir, 'tls', 'ca.crt'),
    'log.dirs': path.join(dir, `n${node.id}`, 'data'),
    'auto.create.topics.enable': 'false',
    'default.replication.factor': replicas,
    'min.insync.replicas': inSync,
    'offsets.topic.replication.factor': replicas,
    'offsets.topic.num.partitions': 2,
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': inSync,
    'transaction.state.log.num.partitions': 2,
    'share.coordinator.state.topic.replication.factor': replicas,
    'share.coordinator.state.topic.min.isr': inSync,
    'share.coordinator.state.topic.num.partitions': 1,
    'group.initial.rebalance.delay.ms': 0,
    'broker.session.timeout.ms': 6000,
    'num.network.threads': 2,
    'num.io.threads': 4,
    'background.threads': 2,
    'log.cleaner.enable': 'false',
    'log.cleaner.dedupe.buffer.size': 4194304,
    ...settings,
  };
  return `${Object.entries(lines)
    .map(([name, value]) => `${name}=${value}`)
    .join('\n')}\n`;
}
