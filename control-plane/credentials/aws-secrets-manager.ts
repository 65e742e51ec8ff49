/**
 * Secrets of AWS Secrets Manager. The keys to ask with are the control plane's own: of its environment (AWS_ACCESS_KEY_ID …), or of the
 * container that it runs in (AWS_CONTAINER_CREDENTIALS_FULL_URI or …_RELATIVE_URI: ECS, EKS Pod Identity). AWS_ENDPOINT_URL_SECRETS_MANAGER
 * asks elsewhere, as with AWS's own tools.
 *
 * Deliberately absent: profiles of the user's home, and the metadata of EC2 instances, which anything on the machine may ask.
 *
 * @see https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
 */
import { readFile } from 'node:fs/promises';
import { type AwsKeys, signedHeaders } from '@sallyport/shared/crypto/aws-signature.ts';
import { errorText } from '@sallyport/shared/errors.ts';
import type { AwsSecretSource } from '@sallyport/shared/policy/model.ts';
import { fetchJson, member, secretMissing } from './fetch-secret.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** @throws {GatewayError} SECRET_MISSING. */
export async function readAwsSecret(source: AwsSecretSource, env: Env, nowMs: number): Promise<string> {
  const { secretId, field } = source;
  const region = source.region ?? env['AWS_REGION'] ?? env['AWS_DEFAULT_REGION'];
  if (region === undefined) throw secretMissing('the region of AWS Secrets Manager is not known: give `region`, or set AWS_REGION.');
  const what = `the secret ${secretId} of AWS Secrets Manager`;
  const url = new URL(env['AWS_ENDPOINT_URL_SECRETS_MANAGER'] ?? `https://secretsmanager.${region}.amazonaws.com/`);
  const body = JSON.stringify({ SecretId: secretId });
  const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': 'secretsmanager.GetSecretValue' };
  const signed = signedHeaders({ method: 'POST', url, headers, body }, { region, service: 'secretsmanager' }, await awsKeys(env), nowMs);
  const { status, json } = await fetchJson(url, { method: 'POST', headers: signed, body }, 'AWS Secrets Manager');
  if (status !== 200) {
    const type = member(json, '__type');
    throw secretMissing(
      `AWS answered ${status}${typeof type === 'string' ? ` (${type.slice(0, 80)})` : ''} when it was asked for ${what}.`,
    );
  }
  const text = member(json, 'SecretString');
  if (typeof text !== 'string') throw secretMissing(`${what} is no text.`);
  if (field === undefined) return text;
  let value: unknown;
  try {
    value = member(JSON.parse(text), field);
  } catch {
    throw secretMissing(`${what} is no JSON, and so has no field ${field}.`);
  }
  if (typeof value !== 'string') throw secretMissing(`${what} has no text in the field ${field}.`);
  return value;
}

/** @throws {GatewayError} SECRET_MISSING. */
export async function awsKeys(env: Env): Promise<AwsKeys> {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_SESSION_TOKEN: sessionToken } = env;
  if (accessKeyId && secretAccessKey) return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
  const relative = env['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'];
  const full = env['AWS_CONTAINER_CREDENTIALS_FULL_URI'] ?? (relative === undefined ? undefined : `http://169.254.170.2${relative}`);
  if (full === undefined) throw secretMissing('the control plane has no keys for AWS: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.');
  return containerKeys(full, env);
}

/** Addresses of the machine itself that AWS gives to containers, beside loopback: plain http is theirs. */
const containerHosts: ReadonlySet<string> = new Set(['169.254.170.2', '169.254.170.23', '[fd00:ec2::23]']);

async function containerKeys(address: string, env: Env): Promise<AwsKeys> {
  const url = URL.parse(address);
  if (url === null) throw secretMissing('AWS_CONTAINER_CREDENTIALS_FULL_URI is no address.');
  const file = env['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'];
  let token = env['AWS_CONTAINER_AUTHORIZATION_TOKEN'];
  if (file !== undefined) {
    try {
      token = (await readFile(file, 'utf8')).trim();
    } catch (cause) {
      throw secretMissing(`the container's token for AWS cannot be read: ${errorText(cause)}.`, cause);
    }
  }
  const headers: Record<string, string> = token === undefined ? {} : { authorization: token };
  const { status, json } = await fetchJson(url, { method: 'GET', headers }, "AWS's keys of this container", containerHosts);
  const [accessKeyId, secretAccessKey, sessionToken] = ['AccessKeyId', 'SecretAccessKey', 'Token'].map(name => member(json, name));
  if (status !== 200 || typeof accessKeyId !== 'string' || typeof secretAccessKey !== 'string' || typeof sessionToken !== 'string') {
    throw secretMissing(`AWS gave this container no keys (status ${status}).`);
  }
  return { accessKeyId, secretAccessKey, sessionToken };
}
