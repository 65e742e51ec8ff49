/** The OpenID providers in force, as token verification needs them: the console's own client at them is nobody else's business. */
import type { Named } from '@sallyport/shared/policy/bundle.ts';
import type { IdentityProviderSpec, OidcProviderSpec } from '@sallyport/shared/policy/model.ts';
import type { Projection } from '../aggregates/projection.ts';

export function oidcProviders(state: Projection): Named<OidcProviderSpec>[] {
  return state.manifests('IdentityProvider').flatMap(({ manifest }) => {
    const { oidc } = manifest.spec as IdentityProviderSpec;
    if (oidc === undefined) return [];
    const { console: _own, ...spec } = oidc;
    return [{ name: manifest.name, spec: { oidc: spec } }];
  });
}
