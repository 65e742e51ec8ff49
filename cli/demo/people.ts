/** Who works at the sample company. The groups are what the sample manifests give rights to. */
export interface Person {
  id: string;
  name: string;
  email: string;
  groups: string[];
  does: string;
}

export const PEOPLE: readonly Person[] = [
  { id: 'alice', name: 'Alice Moreau', email: 'alice@example.com', groups: ['support'], does: 'answers customers' },
  { id: 'bob', name: 'Bob Tanaka', email: 'bob@example.com', groups: ['dba'], does: 'looks after the databases' },
  { id: 'carol', name: 'Carol Okafor', email: 'carol@example.com', groups: ['privacy-office'], does: 'answers requests for personal data' },
];

/** The service account of the sample company: an OAuth client with a secret of its own. */
export const SERVICE_ACCOUNT = 'billing-bot';

/** What the sample provider's tokens are for. */
export const AUDIENCE = 'sallyport';
/** The public client that `sallyport login` uses (device flow). */
export const LOGIN_CLIENT = 'sallyport';
/** The public client of the demo-only grant below. */
export const DEMO_CLIENT = 'sallyport-demo';
/** A grant that gives anybody on this machine a token for any sample person, without a browser. The demo's alone. */
export const DEMO_GRANT = 'urn:sallyport:demo:person';
