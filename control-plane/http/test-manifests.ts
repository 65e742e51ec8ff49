/** Manifests that tests of the API start from. Each is a document of its own, with the line that parts it from what stands before. */

/** People of a company: their email is their name, `groups` their groups. */
export const corpProvider = (issuer: string): string => `
---
kind: IdentityProvider
metadata: { name: corp }
spec: { oidc: { issuer: "${issuer}", audiences: [sallyport], subjectClaim: email, groupsClaim: groups } }
`;

/** A program that is trusted by what its issuer says of it. */
export const billingBot = (issuer: string): string => `
---
kind: ServiceAccount
metadata: { name: billing-bot }
spec: { groups: [bots], trusts: [ { issuer: "${issuer}", subject: "repo:billing" } ] }
`;

export const credential = `
---
kind: Credential
metadata: { name: c }
spec: { username: u, password: { env: PW } }
`;

/** A database that `credential` opens. */
export const resource = (name: string, labels = ''): string => `
---
kind: Resource
metadata: { name: ${name}${labels === '' ? '' : `, labels: { ${labels} }`} }
spec: { protocol: postgres, upstream: { address: "127.0.0.1:5432", tls: { mode: require } }, credential: c }
`;

export const crm = `${credential}${resource('crm')}`;
