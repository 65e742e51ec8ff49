/**
 * Tokens for the IAM authentication of AWS RDS and Aurora: a signed address that says who may connect, as whom, to which host and port.
 * It stands in place of a password for 15 minutes; a session that lives is not touched by its end. Nobody is asked: the agent signs it
 * by itself for each login, so that neither AWS nor the control plane has to answer then.
 *
 * It is signed for the very address that it is sent to: a manifest cannot have a token for one database sent to another.
 *
 * @see https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html
 */
import { presignedAddress } from '@sallyport/shared/crypto/aws-signature.ts';
import type { LeasedCredential } from '../worker-messages.ts';
import { OwnAwsKeys } from './own-keys.ts';

const expiresSeconds = 900;
const own = new OwnAwsKeys(process.env);

/**
 * @param address `host:port` of the database as AWS names it.
 * @returns what goes in place of the password. A secret.
 * @throws {GatewayError} AWS_KEYS_MISSING.
 */
export async function rdsToken(address: string, username: string, iam: NonNullable<LeasedCredential['awsRdsIam']>): Promise<string> {
  const keys = iam.keys ?? (await own.keys(iam.region));
  const query = { Action: 'connect', DBUser: username };
  return presignedAddress(address.toLowerCase(), query, { region: iam.region, service: 'rds-db' }, keys, {
    nowMs: Date.now(),
    expiresSeconds,
  });
}
