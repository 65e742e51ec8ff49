/**
 * The detectors' names as users write them in `DataPolicy.detectors` and read them in records (`data_classes`).
 *
 * Names only, so that manifests can be validated without loading the engine. A name is storage: it may be added, and is never
 * renamed or given another meaning.
 */

/** Credentials of services, with the vendor's own form or checked by keyword and entropy. */
export const SECRET_DETECTORS = [
  'adafruit-token',
  'age-secret-key',
  'airtable-token',
  'alibaba-access-key',
  'anthropic-key',
  'asana-token',
  'atlassian-token',
  'aws-access-key',
  'aws-bedrock-key',
  'aws-secret-key',
  'aws-session-token',
  'azure-client-secret',
  'azure-sas-token',
  'azure-storage-key',
  'basic-auth',
  'basic-auth-url',
  'bearer-token',
  'bitbucket-token',
  'braintree-token',
  'brevo-key',
  'buildkite-token',
  'circleci-token',
  'clickhouse-cloud-key',
  'clojars-token',
  'cloudflare-token',
  'codecov-token',
  'connection-string',
  'contentful-token',
  'crates-io-token',
  'databricks-token',
  'datadog-key',
  'deno-token',
  'digitalocean-token',
  'discord-bot-token',
  'discord-webhook',
  'docker-token',
  'doppler-token',
  'dropbox-token',
  'duffel-token',
  'dynatrace-token',
  'easypost-key',
  'facebook-token',
  'fastly-token',
  'figma-token',
  'flutterwave-key',
  'fly-token',
  'frameio-token',
  'generic-secret',
  'github-token',
  'gitlab-token',
  'google-api-key',
  'google-oauth-secret',
  'google-oauth-token',
  'grafana-token',
  'groq-key',
  'harness-token',
  'heroku-key',
  'hubspot-token',
  'huggingface-token',
  'infracost-key',
  'intra42-secret',
  'jfrog-token',
  'jwt',
  'langsmith-key',
  'launchdarkly-key',
  'linear-key',
  'mailchimp-key',
  'mailgun-key',
  'mapbox-token',
  'neon-key',
  'netlify-token',
  'new-relic-key',
  'notion-token',
  'npm-token',
  'nuget-key',
  'nvidia-key',
  'octopus-key',
  'okta-token',
  'onepassword-token',
  'openai-key',
  'openrouter-key',
  'openshift-token',
  'password-hash',
  'perplexity-key',
  'pinecone-key',
  'plaid-token',
  'planetscale-token',
  'posthog-key',
  'postman-key',
  'prefect-key',
  'private-key',
  'pulumi-token',
  'pypi-token',
  'readme-key',
  'render-key',
  'replicate-token',
  'resend-key',
  'rubygems-key',
  'sallyport-token',
  'scalingo-token',
  'sendgrid-key',
  'sentry-token',
  'settlemint-token',
  'shippo-token',
  'shopify-token',
  'slack-token',
  'slack-webhook',
  'snyk-token',
  'sonar-token',
  'sourcegraph-token',
  'square-token',
  'stripe-key',
  'supabase-key',
  'tailscale-key',
  'teams-webhook',
  'telegram-bot-token',
  'tencent-secret-id',
  'terraform-token',
  'trello-token',
  'twilio-key',
  'twitter-bearer-token',
  'typeform-token',
  'vault-token',
  'vercel-token',
  'xai-key',
  'yandex-key',
  'zapier-webhook',
] as const;

/** National and tax identifiers; those without a check digit or with a weak form need a keyword nearby. */
export const NATIONAL_ID_DETECTORS = [
  'ar-cuit',
  'at-svnr',
  'au-medicare',
  'au-tfn',
  'be-national-number',
  'bg-egn',
  'br-cnpj',
  'br-cpf',
  'ca-sin',
  'ch-ahv',
  'cl-rut',
  'cn-resident-id',
  'cz-birth-number',
  'de-tax-id',
  'dk-cpr',
  'ee-personal-code',
  'es-dni',
  'es-nie',
  'fi-hetu',
  'fr-nir',
  'gr-amka',
  'hk-id',
  'hr-oib',
  'id-nik',
  'ie-pps',
  'il-id',
  'in-aadhaar',
  'in-pan',
  'it-codice-fiscale',
  'jp-my-number',
  'kr-rrn',
  'mx-curp',
  'my-nric',
  'nl-bsn',
  'no-birth-number',
  'nz-ird',
  'pl-pesel',
  'pt-nif',
  'ro-cnp',
  'ru-snils',
  'se-personnummer',
  'sg-nric',
  'th-id',
  'tr-tckn',
  'tw-id',
  'uk-nhs-number',
  'uk-nino',
  'us-itin',
  'us-passport',
  'us-ssn',
  'za-id',
] as const;

/** Data about a person. */
export const PERSONAL_DATA_DETECTORS = [
  'email',
  'iban',
  'ip-address',
  'passport',
  'payment-card',
  'phone',
  ...NATIONAL_ID_DETECTORS,
] as const;

/** Every built-in detector. `known-credentials` finds the values of the credentials that Sallyport itself holds. */
export const DETECTOR_NAMES = ['known-credentials', ...SECRET_DETECTORS, ...PERSONAL_DATA_DETECTORS] as const;

export type DetectorName = (typeof DETECTOR_NAMES)[number];

/** Names that stand for several detectors in `DataPolicy.detectors` and `sallyport detect --detectors`. */
export const DETECTOR_GROUPS: Readonly<Record<string, readonly DetectorName[]>> = {
  all: DETECTOR_NAMES,
  secrets: ['known-credentials', ...SECRET_DETECTORS],
  'personal-data': PERSONAL_DATA_DETECTORS,
  'national-ids': NATIONAL_ID_DETECTORS,
};

const known: ReadonlySet<string> = new Set(DETECTOR_NAMES);

/** Whether a name is a built-in detector or a group of them. */
export function isDetectorOrGroup(name: string): boolean {
  return known.has(name) || Object.hasOwn(DETECTOR_GROUPS, name);
}

/**
 * Replaces groups by their members and removes repetitions; names that are neither built in nor a group are kept as they are,
 * because a custom detector may have them.
 */
export function expandDetectors(names: readonly string[]): string[] {
  const expanded = new Set<string>();
  for (const name of names) {
    const group = Object.hasOwn(DETECTOR_GROUPS, name) ? DETECTOR_GROUPS[name] : undefined;
    if (group === undefined) expanded.add(name);
    else for (const member of group) expanded.add(member);
  }
  return [...expanded];
}
