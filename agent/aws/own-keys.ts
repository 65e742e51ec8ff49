/**
 * The keys of AWS that the agent has by itself, as AWS's own tools find them, in this order: of its environment (AWS_ACCESS_KEY_ID …),
 * by a token of the workload (AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN: EKS), of its container (AWS_CONTAINER_CREDENTIALS_FULL_URI
 * or …_RELATIVE_URI: ECS, EKS Pod Identity), of its EC2 instance (metadata service, version 2; AWS_EC2_METADATA_DISABLED=true for not).
 *
 * Keys that end are kept in memory until five minutes before, and beyond that, to their end, while no new ones can be had. What goes
 * wrong is told without anything of the answers. Deliberately absent: profiles in the home of whoever runs the agent.
 *
 * @see https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
 */
import { readFile } from 'node:fs/promises';
import type { AwsKeys } from '@sallyport/shared/crypto/aws-signature.ts';
import { errorText, GatewayError } from '@sallyport/shared/errors.ts';
import { isLoopback } from '@sallyport/shared/policy/values.ts';

type Env = Readonly<Record<string, string | undefined>>;

const requestMs = 5000;
const answerBytesMax = 64 * 1024;
const renewedBeforeMs = 5 * 60_000;
/** After a refusal nobody asks again at once: every login would. */
const triedAgainMs = 10_000;
/** Addresses of the machine itself that AWS gives out keys at, beside loopback: plain http is theirs. */
const ownHosts: ReadonlySet<string> = new Set(['169.254.169.254', '[fd00:ec2::254]', '169.254.170.2', '169.254.170.23', '[fd00:ec2::23]']);

interface Kept {
  keys: AwsKeys;
  expiresAtMs: number;
}

/** One for each thread; never more than one question at a time. */
export class OwnAwsKeys {
  readonly #env: Env;
  readonly #now: () => number;
  #kept: Kept | null = null;
  #asking: Promise<Kept> | null = null;
  #triedAtMs = Number.NEGATIVE_INFINITY;

  constructor(env: Env, now: () => number = Date.now) {
    this.#env = env;
    this.#now = now;
  }

  /**
   * @param region whose token service is asked, where that is the way.
   * @throws {GatewayError} AWS_KEYS_MISSING.
   */
  async keys(region: string): Promise<AwsKeys> {
    const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_SESSION_TOKEN: sessionToken } = this.#env;
    if (accessKeyId && secretAccessKey) return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
    const now = this.#now();
    const kept = this.#kept;
    const good = kept !== null && kept.expiresAtMs > now;
    if (good && (kept.expiresAtMs - now > renewedBeforeMs || now - this.#triedAtMs < triedAgainMs)) return kept.keys;
    try {
      this.#triedAtMs = now;
      this.#asking ??= this.#ask(region).finally(() => {
        this.#asking = null;
      });
      this.#kept = await this.#asking;
      return this.#kept.keys;
    } catch (error) {
      if (good) return kept.keys;
      throw error;
    }
  }

  #ask(region: string): Promise<Kept> {
    const env = this.#env;
    const [file, role] = [env['AWS_WEB_IDENTITY_TOKEN_FILE'], env['AWS_ROLE_ARN']];
    if (file !== undefined && role !== undefined) return byWebIdentity(file, role, region, env);
    const relative = env['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'];
    const full = env['AWS_CONTAINER_CREDENTIALS_FULL_URI'] ?? (relative === undefined ? undefined : `http://169.254.170.2${relative}`);
    if (full !== undefined) return ofContainer(full, env);
    if (env['AWS_EC2_METADATA_DISABLED']?.toLowerCase() === 'true')
      return Promise.reject(missing('and may not ask for those of its machine'));
    return ofInstance(env['AWS_EC2_METADATA_SERVICE_ENDPOINT'] ?? 'http://169.254.169.254');
  }
}

/** @see https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html */
async function byWebIdentity(file: string, role: string, region: string, env: Env): Promise<Kept> {
  const where = env['AWS_ENDPOINT_URL_STS'] ?? `https://sts.${region}.amazonaws.com/`;
  const form = new URLSearchParams({
    Action: 'AssumeRoleWithWebIdentity',
    Version: '2011-06-15',
    RoleArn: role,
    RoleSessionName: env['AWS_ROLE_SESSION_NAME'] ?? 'sallyport-agent',
    WebIdentityToken: await textOf(file),
  });
  const headers = { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' };
  const answer = await asked(where, { method: 'POST', headers, body: form.toString() }, 'the token service of AWS');
  const result = member(member(parsed(answer), 'AssumeRoleWithWebIdentityResponse'), 'AssumeRoleWithWebIdentityResult');
  return keptOf(member(result, 'Credentials'), 'SessionToken');
}

/** @see https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html */
async function ofContainer(address: string, env: Env): Promise<Kept> {
  const file = env['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'];
  const token = file === undefined ? env['AWS_CONTAINER_AUTHORIZATION_TOKEN'] : await textOf(file);
  const headers: Record<string, string> = token === undefined ? {} : { authorization: token };
  return keptOf(parsed(await asked(address, { method: 'GET', headers }, "AWS's keys of this container")), 'Token');
}

/** @see https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html */
async function ofInstance(service: string): Promise<Kept> {
  const base = service.replace(/\/+$/, '');
  const what = "AWS's metadata of this machine";
  const token = await asked(`${base}/latest/api/token`, { method: 'PUT', headers: { 'x-aws-ec2-metadata-token-ttl-seconds': '60' } }, what);
  const get = { method: 'GET', headers: { 'x-aws-ec2-metadata-token': token.trim() } };
  const roles = `${base}/latest/meta-data/iam/security-credentials/`;
  const [role = ''] = (await asked(roles, get, what)).trim().split('\n');
  return keptOf(parsed(await asked(`${roles}${encodeURIComponent(role)}`, get, what)), 'Token');
}

function keptOf(answer: unknown, tokenName: string): Kept {
  const [accessKeyId, secretAccessKey, sessionToken] = ['AccessKeyId', 'SecretAccessKey', tokenName].map(name => member(answer, name));
  const expiration = member(answer, 'Expiration');
  // The token service counts seconds where it answers in JSON; the others write the time out.
  const expiresAtMs = typeof expiration === 'number' ? expiration * 1000 : Date.parse(String(expiration));
  if (
    typeof accessKeyId !== 'string' ||
    typeof secretAccessKey !== 'string' ||
    typeof sessionToken !== 'string' ||
    Number.isNaN(expiresAtMs)
  )
    throw missing('and what AWS answered holds none');
  return { keys: { accessKeyId, secretAccessKey, sessionToken }, expiresAtMs };
}

async function textOf(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (cause) {
    throw missing(`and the token in ${file} cannot be read`, cause);
  }
}

async function asked(
  address: string,
  init: { method: string; headers: Record<string, string>; body?: string },
  what: string,
): Promise<string> {
  const url = URL.parse(address);
  const plain = url?.protocol === 'http:' && (isLoopback(url.hostname) || ownHosts.has(url.hostname));
  if (url === null || (url.protocol !== 'https:' && !plain)) throw missing(`and ${what} may only be asked over https`);
  let text = '';
  let status = 0;
  try {
    const response = await fetch(url, { ...init, redirect: 'error', signal: AbortSignal.timeout(requestMs) });
    status = response.status;
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length > answerBytesMax) throw new Error('the answer is too long');
    }
  } catch (cause) {
    const why = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : errorText(cause);
    throw missing(`and ${what} at ${url.host} cannot be asked: ${why}`, cause);
  }
  if (status !== 200) throw missing(`and ${what} at ${url.host} answered ${status}`);
  return text;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // Not repeated in an error: it may hold the keys.
  }
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}

function missing(why: string, cause?: unknown): GatewayError {
  return new GatewayError(
    'AWS_KEYS_MISSING',
    'unavailable',
    `the agent has no keys of AWS of its own, ${why}: run it where it has a role, or give \`awsRdsIam.keys\` in the Credential`,
    cause === undefined ? undefined : { cause },
  );
}
