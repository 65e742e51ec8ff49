/**
 * Whose tokens are believed: the identity providers', and the issuers that a ServiceAccount trusts by name.
 *
 * A trust names an issuer and an exact subject, and is enough by itself: a build system needs no IdentityProvider, which would let
 * its every job in as a person. Its tokens are judged by the defaults below and are good for the trusted subjects alone.
 */
import type { Named } from '../policy/bundle.ts';
import type { OidcProviderSpec, ServiceAccountSpec } from '../policy/model.ts';

/** What holds for an issuer that only ServiceAccounts name: the defaults of an IdentityProvider. */
function workloadProvider(issuer: string): Named<OidcProviderSpec> {
  return {
    name: `trusts of ${issuer}`,
    spec: {
      oidc: {
        issuer,
        audiences: ['sallyport'],
        subjectClaim: 'sub',
        groupsClaim: 'groups',
        algorithms: ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'],
        clockSkewMs: 30_000,
      },
    },
  };
}

interface Trusting {
  identityProviders: readonly Named<OidcProviderSpec>[];
  serviceAccounts: readonly Named<ServiceAccountSpec>[];
}

/** Providers for the issuers that only ServiceAccounts name. Tokens of these make workloads, never persons. */
export function workloadProviders({ identityProviders, serviceAccounts }: Trusting): Named<OidcProviderSpec>[] {
  const known = new Set(identityProviders.map(provider => provider.spec.oidc.issuer));
  const trusted = new Set(serviceAccounts.flatMap(account => account.spec.trusts.map(trust => trust.issuer)));
  return [...trusted].filter(issuer => !known.has(issuer)).map(workloadProvider);
}

/** Every issuer whose keys are needed, each once. */
export function trustedIssuers(trusting: Trusting): string[] {
  return [...new Set([...trusting.identityProviders, ...workloadProviders(trusting)].map(provider => provider.spec.oidc.issuer))];
}
