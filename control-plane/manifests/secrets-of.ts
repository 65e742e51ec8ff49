/** Which fields of a manifest are secrets: the only place that knows. */
import type { Manifest, SecretSource } from '@sallyport/shared/policy/model.ts';

/** Stands in an applied manifest where a secret's value was given in the manifest itself. */
export const sealedPlaceholder = '(sealed)';

/** Of a Credential: the user that Vault has leased (LeasedUser as JSON). No source in the manifest: it is asked for by itself. */
export const vaultUserPath = 'vaultDatabase';

/** Of a Credential. */
export const awsSecretKeyPath = 'awsRdsIam.keys.secretAccessKey';

/** The manifest's secrets by their path in the spec. */
export function secretsOf(manifest: Manifest): { path: string; source: SecretSource }[] {
  if (isKind(manifest, 'Credential')) {
    const { password, privateKey, awsRdsIam } = manifest.spec;
    const secretAccessKey = awsRdsIam?.keys?.secretAccessKey;
    return [
      ...(password === undefined ? [] : [{ path: 'password', source: password }]),
      ...(secretAccessKey === undefined ? [] : [{ path: awsSecretKeyPath, source: secretAccessKey }]),
      ...(privateKey === undefined ? [] : [{ path: 'privateKey', source: privateKey }]),
    ];
  }
  if (isKind(manifest, 'Resource') && manifest.spec.tls !== undefined) return [{ path: 'tls.key', source: manifest.spec.tls.key }];
  if (isKind(manifest, 'IdentityProvider')) {
    const { oidc, saml } = manifest.spec;
    return [
      ...(oidc?.console?.clientSecret === undefined ? [] : [{ path: 'oidc.console.clientSecret', source: oidc.console.clientSecret }]),
      ...(saml?.decryptionKey === undefined ? [] : [{ path: 'saml.decryptionKey', source: saml.decryptionKey }]),
    ];
  }
  if (isKind(manifest, 'Channel')) {
    const { webhook, slack } = manifest.spec;
    return [
      ...(webhook === undefined ? [] : [{ path: 'webhook.secret', source: webhook.secret }]),
      ...(slack === undefined
        ? []
        : [
            { path: 'slack.token', source: slack.token },
            { path: 'slack.signingSecret', source: slack.signingSecret },
          ]),
    ];
  }
  return [];
}

/** The manifest as it may be stored and shown: plain JSON, without values of secrets. */
export function withoutSecrets(manifest: Manifest): Manifest {
  const copy = JSON.parse(JSON.stringify(manifest)) as Manifest;
  if (isKind(copy, 'Credential')) {
    if (copy.spec.password !== undefined) copy.spec.password = shown(copy.spec.password);
    if (copy.spec.privateKey !== undefined) copy.spec.privateKey = shown(copy.spec.privateKey);
    const keys = copy.spec.awsRdsIam?.keys;
    if (keys !== undefined) keys.secretAccessKey = shown(keys.secretAccessKey);
  }
  if (isKind(copy, 'Resource') && copy.spec.tls !== undefined) copy.spec.tls.key = shown(copy.spec.tls.key);
  if (isKind(copy, 'IdentityProvider')) {
    const { oidc, saml } = copy.spec;
    if (oidc?.console?.clientSecret !== undefined) oidc.console.clientSecret = shown(oidc.console.clientSecret);
    if (saml?.decryptionKey !== undefined) saml.decryptionKey = shown(saml.decryptionKey);
  }
  if (isKind(copy, 'Channel')) {
    const { webhook, slack } = copy.spec;
    if (webhook !== undefined) webhook.secret = shown(webhook.secret);
    if (slack !== undefined) {
      slack.token = shown(slack.token);
      slack.signingSecret = shown(slack.signingSecret);
    }
  }
  return copy;
}

function shown(source: SecretSource): SecretSource {
  return 'value' in source ? { value: sealedPlaceholder } : source;
}

export function isKind<K extends Manifest['kind']>(manifest: Manifest, kind: K): manifest is Manifest<K> & Manifest {
  return manifest.kind === kind;
}
