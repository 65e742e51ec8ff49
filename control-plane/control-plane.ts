/**
 * Puts the control plane's parts together on one data folder. Order matters: the lock first, then keys, logs, state, and the ports
 * last, so that nobody is answered before the state is whole.
 */
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { KafkaConfig } from '@sallyport/kafka/config.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { trustedIssuers } from '@sallyport/shared/identity/trusted-issuers.ts';
import { VerifyContext } from '@sallyport/shared/identity/verify.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import type { Logger } from 'pino';
import { AdministrationLog } from './aggregates/administration-log.ts';
import { ControlLog } from './aggregates/control-log.ts';
import type { Editions } from './aggregates/editions.ts';
import { ChangeDesk } from './changes/change-desk.ts';
import { Channels } from './channels/channels.ts';
import { CheckpointDesk } from './evidence/checkpoint-desk.ts';
import { Contents } from './evidence/contents.ts';
import { ControlTree } from './evidence/control-tree.ts';
import { EvidenceExport } from './evidence/evidence-export.ts';
import { Retention } from './evidence/retention.ts';
import { TimeStamping } from './evidence/time-stamping.ts';
import { ApprovalDesk } from './grpc/approval-desk.ts';
import { Enrolment } from './grpc/enrolment.ts';
import { Fleet } from './grpc/fleet.ts';
import { startGrpcServer } from './grpc/server.ts';
import { ManifestHistory } from './history/manifest-history.ts';
import { AdmissionDesk } from './http/admission.ts';
import { answerApproval } from './http/answer-approval.ts';
import { AccessRoles } from './http/authorization.ts';
import type { ApiContext } from './http/context.ts';
import { IssuerKeys } from './http/issuer-keys.ts';
import type { RateLimits } from './http/rate-limit.ts';
import type { SchemaCompilers } from './http/schema-compilers.ts';
import { buildHttpServer, startHttpServer } from './http/server.ts';
import { sessionHistory } from './http/session-history.ts';
import { consoleSessionMsMax } from './http/sign-in/browser-sessions.ts';
import { PublicAddress } from './http/sign-in/public-address.ts';
import { SignIn } from './http/sign-in/sign-in.ts';
import { TicketDesk } from './http/ticket-desk.ts';
import { openSessionStore } from './ingest/session-store.ts';
import { ticketIssuer } from './leases/lease-bundle.ts';
import { LiveFeed } from './live/live-feed.ts';
import { WatchPresence } from './live/watch-presence.ts';
import { lockDirectory } from './log/directory-lock.ts';
import { ManifestStore } from './manifests/apply.ts';
import { oidcProviders } from './manifests/identity-providers.ts';
import { secretSources } from './manifests/secret-sources.ts';
import { openLogs } from './open-logs.ts';
import { openAuthority } from './pki/authority.ts';
import { secretFile } from './pki/files.ts';
import { isInFile, type KekOptions, openKek } from './pki/key-encryption.ts';
import { openKeys } from './pki/keys.ts';
import { shareKeys } from './pki/shared-keys.ts';
import { SigningKeys } from './pki/signing-keys.ts';
import { Snapshots } from './snapshot/snapshots.ts';

export interface ControlPlaneOptions {
  dataDir: string;
  /** host:port; port 0 takes a free one. */
  http: string;
  grpc: string;
  /** Names and addresses by which others reach this machine, for the certificates; loopback's are there anyway. */
  names?: readonly string[];
  /** Where browsers reach the console, when that is not where it listens. */
  url?: string;
  clickhouse?: { url: string; user: string; password: string };
  /** Who stamps the time of heads of the control log (RFC 3161), and PEM of what it is trusted by. */
  timestamps?: { url: string; trusted: string; everyMs?: number };
  /** Where the log is; without it, in files of the data folder. */
  kafka?: KafkaConfig | null;
  /** Where the key-encryption key is (pki/key-encryption.ts); with Kafka the same for all replicas. */
  kek?: string;
  kekWrappedFile?: string;
  env: Readonly<Record<string, string | undefined>>;
  logger: Logger;
  version: string;
  clock?: () => number;
  leaseLifetimeMs?: number;
  clientCertificateLifetimeMs?: number;
  rateLimits?: RateLimits;
  compilers?: SchemaCompilers;
  /** Changes of manifests need a second person (default: no). */
  twoPersonApply?: boolean;
  /** CIDR; see http/client-address.ts. */
  trustedProxies?: readonly string[];
  secretsRefreshMs?: number;
  /** What this version understands of the control log; another for tests. */
  editions?: Editions;
  /** Called when the state can no longer be trusted to be the log's: the process must end. */
  onFault: (error: GatewayError) => void;
}

export interface ControlPlane {
  readonly httpUrl: string;
  readonly grpcAddress: string;
  readonly caPath: string;
  readonly adminToken: string;
  close(): Promise<void>;
}

const secretsRefreshMs = 30_000;
const dayMs = 24 * 60 * 60 * 1000;
/** Renewed by a restart; the CA's own life is ten years. */
const httpCertificateLifetimeMs = 365 * dayMs;

/** @throws {GatewayError} DATA_LOCKED, DATA_UNWRITABLE, LOG_CORRUPT, LISTEN_FAILED and others: nothing is left open then. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { dataDir, logger } = options;
  const clock = options.clock ?? Date.now;
  /** Run in reverse, at the end and when the start fails half-way. */
  const closers: (() => Promise<void> | void)[] = [];
  const close = async () => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) {
      try {
        await closer();
      } catch (error) {
        logger.error({ err: errorText(error) }, 'a part did not stop cleanly');
      }
    }
  };
  try {
    try {
      await mkdir(dataDir, { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw new GatewayError('DATA_UNWRITABLE', 'unavailable', `The data folder ${dataDir} cannot be made: ${errorText(cause)}.`, {
        cause,
      });
    }
    const lock = lockDirectory(dataDir);
    closers.push(() => lock.release());

    const logs = await openLogs({ dataDir, kafka: options.kafka ?? null, clock, logger, onOpened: closer => closers.push(closer) });
    const { control: controlTopic, records, relay } = logs;
    const pkiDir = join(dataDir, 'pki');
    const makeAdminToken = () => Buffer.from(`spa_${randomBytes(32).toString('base64url')}\n`);
    // Files have one control plane; with Kafka there may be others.
    const { kek: kekName, kekWrappedFile } = options;
    const kekOptions: KekOptions = {
      ...{ dataDir, env: options.env },
      ...(kekName === undefined ? {} : { kek: kekName }),
      ...(kekWrappedFile === undefined ? {} : { wrappedFile: kekWrappedFile }),
    };
    // A keeper's key that is gone is not made anew under what was sealed to it; one in a file may be: credentials are then applied again.
    const kek = options.kafka
      ? await shareKeys({ log: controlTopic, dataDir, openKek: mayMake => openKek(kekOptions, mayMake), clock, makeAdminToken })
      : await openKek(kekOptions, kekName === undefined || (await controlTopic.endOffset()) === 0n);
    // Backups and tools find it in the folder; a keeper's is in no file.
    if (isInFile(kekName) && !(await secretFile(join(pkiDir, 'kek'), () => kek)).equals(kek))
      throw new GatewayError('KEY_FOREIGN', 'conflict', `${join(pkiDir, 'kek')} is another key than ${kekName ?? ''}: name the right one.`);
    const authority = await openAuthority(pkiDir, clock);
    const keys = await openKeys(pkiDir, kek);
    const adminToken = (await secretFile(join(dataDir, 'admin-token'), makeAdminToken)).toString('utf8').trim();
    if (adminToken.length < 20) throw new GatewayError('KEY_INVALID', 'internal', `${join(dataDir, 'admin-token')} holds no usable token.`);

    let isSound = true;
    const tree = new ControlTree(keys.evidenceKey, keys.evidencePublicKey, clock);
    const snapshots = new Snapshots({ file: join(dataDir, 'control-snapshot'), key: keys.derive('control-snapshot'), logger });
    const from = await snapshots.load(controlTopic, tree);
    const control = await ControlLog.open(controlTopic, {
      clock,
      ...(from === null ? {} : { from }),
      ...(options.editions === undefined ? {} : { editions: options.editions }),
      onEntry: (entry, event) => tree.take(entry.value, event),
      onFault: error => {
        isSound = false;
        options.onFault(error);
      },
    });
    closers.push(() => control.close());
    await openEdition(control, options.kafka !== undefined && options.kafka !== null, logger);
    snapshots.start(control, tree);
    closers.push(() => snapshots.close(control, tree));
    const checkpoints = new CheckpointDesk({ control, logger });
    closers.push(() => checkpoints.close());

    const leaseLifetimeMs = options.leaseLifetimeMs ?? dayMs;
    const clientLifetimeMs = options.clientCertificateLifetimeMs ?? dayMs;
    const signingKeys = new SigningKeys({
      ...{ control, keys, clock, leaseLifetimeMs },
      ...{ certificateLifetimeMs: clientLifetimeMs, ticketLifetimeMs: consoleSessionMsMax },
    });
    const consoleUrl = options.url ?? consoleAddress(options.http);
    const fleet = new Fleet({
      ...{ control, keys, signingKeys, logger, clock, leaseLifetimeMs },
      ...(consoleUrl === undefined ? {} : { consoleUrl }),
    });
    closers.push(() => fleet.close());
    const approvals = new ApprovalDesk({ control, fleet, logger, clock });
    closers.push(() => approvals.close());
    const enrolment = new Enrolment({
      control,
      authority,
      leasePublicKey: () => signingKeys.current('lease').publicKey,
      clock,
      clientLifetimeMs,
      servingLifetimeMs: 7 * dayMs,
    });

    const history = sessionHistory(options.clickhouse?.url ?? null, options.clickhouse?.user ?? '', options.clickhouse?.password ?? '');
    closers.push(() => history.close());
    const { clickhouse } = options;
    const store =
      clickhouse === undefined ? null : openSessionStore({ url: clickhouse.url, username: clickhouse.user, password: clickhouse.password });
    closers.push(async () => store?.close());
    const retention = new Retention({ control, store, logger, clock });
    closers.push(() => retention.close());
    retention.start();
    const contents = new Contents({ control, keys, store, logger, clock });
    closers.push(() => contents.close());
    contents.start();
    if (options.timestamps !== undefined) {
      const timeStamping = new TimeStamping({ control, tree, logger, ...options.timestamps });
      closers.push(() => timeStamping.close());
      timeStamping.start();
    }
    const { verifyContext, issuerKeys } = tokenVerification(control, signingKeys, logger, clock);
    closers.push(() => issuerKeys.close());
    const administration = new AdministrationLog(control);
    const manifests = new ManifestStore(control, keys, secretSources(options.env, dataDir), clock);
    const refreshing = keepSecretsFresh(manifests, logger, options.secretsRefreshMs ?? secretsRefreshMs);
    closers.push(() => clearInterval(refreshing));
    const changes = new ChangeDesk({ control, manifests, logger, clock });
    closers.push(() => changes.close());
    changes.start();
    const admission = new AdmissionDesk(control);
    const live = new LiveFeed({ control, controlTopic, records, fleet, logger, clock });
    closers.push(() => live.close());
    const presence = new WatchPresence({ beats: logs.presence, control, fleet, logger, clock });
    closers.push(() => presence.close());
    presence.start();
    const context: ApiContext = {
      control,
      administration,
      records,
      manifests,
      changes,
      twoPersonApply: options.twoPersonApply ?? false,
      manifestHistory: new ManifestHistory(controlTopic, () => control.position),
      fleet,
      live,
      presence,
      relay,
      authority,
      keys,
      signingKeys,
      admission,
      tickets: new TicketDesk({
        ...{ admission, administration, keys: signingKeys, clock },
        holdsKeys: principal => control.state.sshKeys.holds(principal),
      }),
      accessRoles: new AccessRoles(() => control),
      history,
      retention,
      contents,
      timestampsTrusted: options.timestamps?.trusted ?? null,
      evidence: new EvidenceExport({ control, contents, controlTopic, tree, checkpoints, history, clock }),
      logger,
      clock,
      startedAtMs: clock(),
      version: options.version,
      isReady: () => isSound,
    };
    const httpHost = hostOf(options.http);
    // The administrator's token does not cross a network in the clear.
    const tls = isLoopback(httpHost)
      ? undefined
      : await authority.issueServer(namesFor(httpHost, options.names), httpCertificateLifetimeMs);
    const address = new PublicAddress({
      ...(options.url === undefined ? {} : { url: options.url }),
      isTls: tls !== undefined,
      names: namesFor(httpHost, options.names),
    });
    const signIn = new SignIn({ control, administration, keys, logger, clock, address });
    const channels = new Channels({
      ...{ control, keys, dataDir, logger, clock, consoleUrl },
      answering: {
        signedIn: name =>
          signIn.sessions
            .personsNamed(name)
            .filter(person => !control.state.isBlocked(person.name))
            .map(person => control.state.asInDirectory(person)),
        answer: (id, answer, principal, { channel, requestId, address: authorAddress }) => {
          const { name: author, issuer, subject } = principal;
          const reason = `in Slack, channel ${channel}`;
          const provenance = { author, authorIdentity: { issuer, subject }, authorAddress, reason, requestId };
          return answerApproval({ control, clock }, { id, answer, principal, reason }, provenance);
        },
      },
    });
    closers.push(() => channels.close());
    const limits = {
      ...(options.rateLimits === undefined ? {} : { rateLimits: options.rateLimits }),
      ...(options.compilers === undefined ? {} : { compilers: options.compilers }),
      ...(options.trustedProxies === undefined ? {} : { trustedProxies: options.trustedProxies }),
    };
    const app = await buildHttpServer({
      context,
      adminToken,
      verifyContext,
      signIn,
      address,
      channels,
      ...limits,
      ...(tls === undefined ? {} : { tls }),
    });
    closers.push(() => app.close());

    const hostnames = namesFor(hostOf(options.grpc), options.names);
    const grpc = await startGrpcServer({
      listen: options.grpc,
      hostnames,
      control,
      authority,
      enrolment,
      fleet,
      relay,
      approvals,
      checkpoints,
      logger,
      clock,
    });
    closers.push(() => grpc.close());
    const httpUrl = await startHttpServer(app, options.http);
    return { httpUrl, grpcAddress: grpc.address, caPath: join(pkiDir, 'ca.crt'), adminToken, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Alone on its log, or the first there, a control plane uses all that it knows; among others an operator says when (editions.ts). */
async function openEdition(control: ControlLog, hasNeighbours: boolean, logger: Logger): Promise<void> {
  const { inForce, known } = control.edition;
  if (known <= inForce) return;
  if (hasNeighbours && !control.state.isNew()) {
    logger.info(
      { inForce, known },
      'the control log is at an earlier edition than this version knows: once every control plane is upgraded, `sallyport control-plane raise-edition`',
    );
    return;
  }
  const why = hasNeighbours ? 'a new installation' : 'no other control plane shares this log';
  await control.raiseEdition({ author: 'system', authorAddress: '', reason: why, requestId: '' });
}

/** Secrets that change in Vault, in AWS or in files are taken over without an apply. One round at a time, however slow a source is. */
function keepSecretsFresh(manifests: ManifestStore, logger: Logger, everyMs: number): NodeJS.Timeout {
  let isRunning = false;
  const round = async () => {
    if (isRunning) return;
    isRunning = true;
    try {
      const changed = await manifests.refreshSecrets((credential, error) =>
        logger.warn({ credential, err: errorText(error) }, 'the secret could not be read at its source: the one that is there stays'),
      );
      if (changed.length > 0) logger.info({ credentials: changed }, 'secrets have changed at their sources');
    } catch (error) {
      logger.error({ err: errorText(error) }, 'secrets could not be refreshed');
    } finally {
      isRunning = false;
    }
  };
  const timer = setInterval(() => void round(), everyMs);
  timer.unref();
  return timer;
}

/** Tokens are judged by the manifests in force, at any time. */
function tokenVerification(control: ControlLog, signingKeys: SigningKeys, logger: Logger, clock: () => number) {
  const trusting = () => ({
    identityProviders: oidcProviders(control.state),
    serviceAccounts: control.state
      .manifests('ServiceAccount')
      .map(({ manifest }) => ({ name: manifest.name, spec: (manifest as Manifest<'ServiceAccount'>).spec })),
  });
  const issuerKeys = new IssuerKeys({ logger, clock, isConfigured: issuer => trustedIssuers(trusting()).includes(issuer) });
  const verifyContext = new VerifyContext({ now: clock, onKeysMissing: issuer => issuerKeys.missing(issuer) });
  issuerKeys.feed(verifyContext);
  const refresh = () =>
    verifyContext.useLease({
      tickets: { issuer: ticketIssuer, keys: signingKeys.ticketJwks() },
      ...trusting(),
      revokedTokens: control.state.revokedTickets(clock()),
    });
  refresh();
  control.onAccepted(events => {
    if (events.some(({ stream }) => /^(identity-provider|service-account|ticket|account-secret|signing-key)\//.test(stream))) refresh();
  });
  return { verifyContext, issuerKeys };
}

function hostOf(listen: string): string {
  return listen.slice(0, listen.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}

function namesFor(host: string, names: readonly string[] = []): string[] {
  return [...new Set(['localhost', '127.0.0.1', '::1', ...(isWildcard(host) ? [] : [host]), ...names])];
}

/** Where browsers find the console when nobody says so; undefined: a free port is taken later. */
function consoleAddress(http: string): string | undefined {
  const at = http.lastIndexOf(':');
  if (http.slice(at + 1) === '0' || isWildcard(http.slice(0, at))) return undefined;
  return `${isLoopback(http.slice(0, at)) ? 'http' : 'https'}://${http}`;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::' || host === '';
}
