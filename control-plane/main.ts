/**
 * `sallyport control-plane`: one process on one data folder. Prints one JSON line on standard output, when it is ready or when it cannot
 * start; logs go to standard error.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { type KafkaFlagValues, kafkaConfig, kafkaFlags, kafkaUsage } from '@sallyport/kafka/config.ts';
import { certificates } from '@sallyport/shared/crypto/time-stamp.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { parseNetwork } from '@sallyport/shared/identity/networks.ts';
import { isLoopback } from '@sallyport/shared/policy/values.ts';
import pino from 'pino';
import { startControlPlane } from './control-plane.ts';
import { bundleFolder, ensureBundle } from './http/console-bundle.ts';
import { kekProblem } from './pki/key-encryption.ts';

const usage = `Usage: sallyport control-plane --data DIR [--http HOST:PORT] [--grpc HOST:PORT] [--name NAME ...] [--url URL]
                               [--trusted-proxy CIDR ...] [--timestamps URL --timestamps-ca FILE] [--two-person-apply] [--clickhouse URL] [--kafka HOST:PORT,...]

  --data DIR         event log, keys and certificates (made when missing)
  --http HOST:PORT   API and console; default 127.0.0.1:8420. Plain HTTP on loopback, HTTPS by the own CA elsewhere
  --grpc HOST:PORT   for agents; default 127.0.0.1:8421
  --name NAME        a further name or address by which others reach this machine, for the certificates
  --url URL          where browsers reach the console, behind a proxy or another name; what identity providers send people back to
  --trusted-proxy CIDR
                     a proxy in front of the API, by address or network: where requests come from is then what its X-Forwarded-For or
                     Forwarded says (SALLYPORT_TRUSTED_PROXIES, with commas)
  --timestamps URL   a time-stamping authority (RFC 3161) that stamps heads of the control log (SALLYPORT_TIMESTAMPS)
  --timestamps-ca FILE
                     PEM of the authorities that are trusted for it (SALLYPORT_TIMESTAMPS_CA)
  --clickhouse URL   the session store; user and password in SALLYPORT_STORE_USER and SALLYPORT_STORE_PASSWORD

  --kek WHERE        the key-encryption key, the same for all replicas: a file (default DIR/pki/kek), env:NAME, vault:MOUNT/KEY (transit
                     engine; VAULT_ADDR and others), aws-kms:KEY; all but files keep it wrapped in DIR/pki/kek.wrapped
  --kek-wrapped FILE that file, elsewhere

The event log in Apache Kafka (each flag also as a variable, e.g. SALLYPORT_KAFKA):
${kafkaUsage}`;

/**
 * Runs until a signal or a fault.
 * @returns the exit code: 0 stopped, 1 failed, 2 usage.
 */
export async function runControlPlane(argv: readonly string[]): Promise<number> {
  const parsed = parseOptions(argv);
  if (typeof parsed === 'string') {
    process.stderr.write(parsed);
    return parsed === usage ? 0 : 2;
  }
  const logger = pino({ name: 'control-plane', level: process.env.SALLYPORT_LOG_LEVEL ?? 'info' }, pino.destination({ fd: 2, sync: true }));
  const { promise: stopped, resolve: stop } = Promise.withResolvers<number>();
  const onSignal = (signal: NodeJS.Signals) => {
    logger.info({ signal }, 'stopping');
    stop(0);
  };
  try {
    const plane = await startControlPlane({
      ...parsed,
      env: process.env,
      logger,
      version: packageVersion(),
      onFault: error => {
        logger.fatal({ code: error.code, err: error }, 'the control log cannot be followed');
        stop(1);
      },
    });
    process.once('SIGTERM', onSignal);
    process.once('SIGINT', onSignal);
    const { httpUrl, grpcAddress, caPath, adminToken } = plane;
    printLine({ ready: true, http: httpUrl, grpc: grpcAddress, ca: caPath, adminToken });
    // Ready without it: the first browser waits for the console, nobody else does.
    ensureBundle(bundleFolder(process.env), () => logger.info('building the console')).catch((error: unknown) =>
      logger.warn({ err: error }, 'the console could not be built; the next request for it tries again'),
    );
    const code = await stopped;
    await plane.close();
    return code;
  } catch (error) {
    const known = error instanceof GatewayError;
    if (!known) logger.fatal({ err: error }, 'the control plane could not start');
    printLine({
      error: {
        code: known ? error.code : 'INTERNAL',
        message: known ? error.message : `The control plane could not start: ${errorText(error)}`,
      },
    });
    return 1;
  }
}

type Options = Pick<
  Parameters<typeof startControlPlane>[0],
  | 'dataDir'
  | 'http'
  | 'trustedProxies'
  | 'twoPersonApply'
  | 'grpc'
  | 'names'
  | 'url'
  | 'clickhouse'
  | 'timestamps'
  | 'kafka'
  | 'kek'
  | 'kekWrappedFile'
>;

/** @returns the options, or the text to print instead of starting. */
function parseOptions(argv: readonly string[]): Options | string {
  let values: {
    data?: string;
    http?: string;
    grpc?: string;
    name?: string[];
    'grpc-name'?: string[];
    url?: string;
    'trusted-proxy'?: string[];
    'two-person-apply'?: boolean;
    clickhouse?: string;
    timestamps?: string;
    'timestamps-ca'?: string;
    kek?: string;
    'kek-wrapped'?: string;
    help?: boolean;
  } & KafkaFlagValues;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        data: { type: 'string' },
        http: { type: 'string' },
        grpc: { type: 'string' },
        name: { type: 'string', multiple: true },
        'grpc-name': { type: 'string', multiple: true },
        url: { type: 'string' },
        'trusted-proxy': { type: 'string', multiple: true },
        'two-person-apply': { type: 'boolean' },
        clickhouse: { type: 'string' },
        timestamps: { type: 'string' },
        'timestamps-ca': { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        kek: { type: 'string' },
        'kek-wrapped': { type: 'string' },
        ...kafkaFlags,
      },
    }));
  } catch (error) {
    return `${errorText(error)}\n\n${usage}`;
  }
  if (values.help === true) return usage;
  const { data, http = '127.0.0.1:8420', grpc = '127.0.0.1:8421', clickhouse } = values;
  if (data === undefined) return `--data DIR is missing.\n\n${usage}`;
  for (const [flag, value] of [
    ['--http', http],
    ['--grpc', grpc],
  ] as const) {
    if (!/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/.test(value)) return `${flag} must be HOST:PORT, not ${JSON.stringify(value)}.\n\n${usage}`;
  }
  const proxies = values['trusted-proxy'] ?? (process.env.SALLYPORT_TRUSTED_PROXIES ?? '').split(',').filter(each => each.trim() !== '');
  const trustedProxies = proxies.map(each => each.trim());
  const asked = process.env.SALLYPORT_TWO_PERSON_APPLY ?? '';
  // A word that is neither must not turn the review off.
  if (!['', '0', '1'].includes(asked)) return `SALLYPORT_TWO_PERSON_APPLY must be 1 or 0, not ${JSON.stringify(asked)}.\n\n${usage}`;
  const twoPersonApply = values['two-person-apply'] ?? asked === '1';
  const noNetwork = trustedProxies.find(each => parseNetwork(each) === null);
  if (noNetwork !== undefined) return `--trusted-proxy must be an address or a network, not ${JSON.stringify(noNetwork)}.\n\n${usage}`;
  const wrongKek = values.kek === undefined ? null : kekProblem(values.kek);
  if (wrongKek !== null) return `--kek ${values.kek ?? ''} cannot be used: ${wrongKek}.\n\n${usage}`;
  const stamps = timestampsOf(
    values.timestamps ?? process.env.SALLYPORT_TIMESTAMPS,
    values['timestamps-ca'] ?? process.env.SALLYPORT_TIMESTAMPS_CA,
  );
  if (typeof stamps === 'string') return `${stamps}\n\n${usage}`;
  if (clickhouse !== undefined && !URL.canParse(clickhouse)) return `--clickhouse must be a URL.\n\n${usage}`;
  if (values.url !== undefined && !isPublicUrl(values.url)) return `--url must be an https: address, or http: of this machine.\n\n${usage}`;
  let kafka: ReturnType<typeof kafkaConfig>;
  try {
    kafka = kafkaConfig(values, process.env, 'control-plane');
  } catch (error) {
    return `${errorText(error)}\n\n${usage}`;
  }
  return {
    dataDir: resolve(data),
    kafka,
    ...(values.kek === undefined ? {} : { kek: values.kek }),
    ...(values['kek-wrapped'] === undefined ? {} : { kekWrappedFile: resolve(values['kek-wrapped']) }),
    http,
    grpc,
    trustedProxies,
    twoPersonApply,
    names: [...(values.name ?? []), ...(values['grpc-name'] ?? [])],
    ...(values.url === undefined ? {} : { url: values.url }),
    ...(stamps === undefined ? {} : { timestamps: stamps }),
    ...(clickhouse === undefined
      ? {}
      : {
          clickhouse: {
            url: clickhouse,
            user: process.env.SALLYPORT_STORE_USER ?? 'default',
            password: process.env.SALLYPORT_STORE_PASSWORD ?? '',
          },
        }),
  };
}

/** @returns what is wrong with them, as a sentence. */
function timestampsOf(url: string | undefined, caFile: string | undefined): { url: string; trusted: string } | string | undefined {
  if (!url && !caFile) return undefined;
  if (!url || !caFile) return '--timestamps and --timestamps-ca go together.';
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? '')) return '--timestamps must be an http: or https: address.';
  try {
    const trusted = readFileSync(caFile, 'utf8');
    certificates(trusted);
    return { url, trusted };
  } catch (error) {
    return `--timestamps-ca cannot be used: ${errorText(error)}.`;
  }
}

/** Cookies and codes do not cross a network in the clear. */
function isPublicUrl(text: string): boolean {
  const url = URL.parse(text);
  return url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname));
}

function printLine(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('./package.json', import.meta.url), 'utf8')) as { version: string };
  return version;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) process.exit(await runControlPlane(process.argv.slice(2)));
