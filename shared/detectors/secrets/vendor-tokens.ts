/**
 * Tokens that carry their vendor's mark. One line a form; `<class:length>` is explained in ../token.ts.
 *
 * Public identifiers (publishable keys, account SIDs, client ids) are left out on purpose: they are no secrets.
 */
import { hasBase62Crc } from '../checksums.ts';
import type { LiteralRule } from '../rule.ts';
import { type TokenOptions, token } from '../token.ts';

/** GitHub: prefix, 30 random characters, CRC-32 of them in base 62. */
const githubChecksum = (bytes: Uint8Array, start: number, end: number): boolean => hasBase62Crc(bytes, start + 4, end);

/** A webhook's address is the secret: its scheme and host belong to the span. */
const ADDRESS: TokenOptions = { address: true };

const UUID = '<H:8>-<H:4>-<H:4>-<H:4>-<H:12>';

function each(detector: string, sources: readonly string[], options?: TokenOptions): LiteralRule[] {
  return sources.map(source => token(detector, source, options));
}

export const vendorTokens: readonly LiteralRule[] = [
  ...each('adafruit-token', ['aio_<a:28>']),
  ...each('age-secret-key', ['AGE-SECRET-KEY-1<u:58>', 'AGE-SECRET-KEY-PQ-1<u:58>']),
  ...each('airtable-token', ['pat<a:14>.<h:64>']),
  ...each('alibaba-access-key', ['LTAI<a:12-24>'], { entropy: 3 }),
  ...each('anthropic-key', [
    'sk-ant-api03-<b:80-120>',
    'sk-ant-admin01-<b:80-120>',
    'sk-ant-oat01-<b:80-120>',
    'sk-ant-ort01-<b:80-120>',
    'sk-ant-<b:24-120>',
  ]),
  ...each('atlassian-token', ['ATATT3<q:40-300>', 'ATCTT3<q:40-300>']),
  ...each('bitbucket-token', ['ATBB<a:32>']),
  ...each('aws-access-key', ['AKIA<u:16>', 'ASIA<u:16>', 'ABIA<u:16>', 'ACCA<u:16>']),
  ...each('aws-bedrock-key', ['ABSK<B:109-269><e:0-2>', 'bedrock-api-key-<B:40-1000><e:0-2>']),
  ...Array.from('0123456789', digit => token('azure-client-secret', `<~:3>${digit}Q~<~:31-34>`, { entropy: 3.5 })),
  ...each('braintree-token', ['access_token$production$<l:16>$<h:32>', 'access_token$sandbox$<l:16>$<h:32>']),
  ...each('brevo-key', ['xkeysib-<h:64>-<a:16>', 'xsmtpsib-<h:64>-<a:16>']),
  ...each('clojars-token', ['CLOJARS_<l:60>']),
  ...each('cloudflare-token', ['v1.0-<h:24>-<h:146>']),
  ...each('contentful-token', ['CFPAT-<b:43>']),
  ...each('crates-io-token', ['cio<a:32>'], { entropy: 3.5 }),
  ...each('databricks-token', ['dapi<h:32>-<d:1>', 'dapi<h:32>'], { entropy: 3 }),
  ...each('digitalocean-token', ['dop_v1_<h:64>', 'doo_v1_<h:64>', 'dor_v1_<h:64>']),
  ...each('docker-token', ['dckr_pat_<b:27>', 'dckr_oat_<b:32>']),
  ...each('doppler-token', [
    ...['pt', 'ct', 'sa', 'scim', 'audit', 'said'].map(kind => `dp.${kind}.<a:40-44>`),
    'dp.st.<a:40-44>',
    'dp.st.<b:2-35>.<a:40-44>',
  ]),
  ...each('dropbox-token', ['sl.u.<b:100-2000>', 'sl.<b:130-2000>'], { entropy: 3.5 }),
  ...each('dynatrace-token', ['dt0c01.<u:24>.<u:64>', 'dt0s01.<u:24>.<u:64>', 'dt0s02.<u:8-24>.<u:64>', 'dt0s16.<u:24>.<u:64>']),
  ...each('easypost-key', ['EZAK<a:54>', 'EZTK<a:54>']),
  ...each('facebook-token', ['EAACEdEose0cBA<a:20-300>', 'EAAM<a:80-300>', 'EAAC<a:80-300>', 'EAAG<a:80-300>'], { entropy: 3.5 }),
  ...each('figma-token', ['figd_<b:40>', 'figu_<b:40>', 'figo_<b:40>', 'figor_<b:40>']),
  ...each('flutterwave-key', ['FLWSECK_TEST-<a:32>-X', 'FLWSECK_TEST-<h:12>', 'FLWSECK-<a:32>-X', 'FLWSECK-<a:32>-<l:11>vt-X']),
  ...each('fly-token', ['fo1_<b:43>', 'fm2_<E:100-2000>', 'fm1a_<E:100-2000>', 'fm1r_<E:100-2000>']),
  ...each('github-token', ['ghp_<a:36>', 'gho_<a:36>', 'ghu_<a:36>', 'ghs_<a:36>', 'ghr_<a:36>'], { check: githubChecksum }),
  ...each('github-token', ['ghr_<a:76>', 'github_pat_<a:22>_<a:59>']),
  ...each('gitlab-token', [
    ...['glpat', 'gldt', 'glrt', 'glft', 'glcbt', 'glimt', 'glsoat', 'glffct', 'glwt'].map(kind => `${kind}-<b:20-300>`),
    'glpat-<b:27-300>.<l:2>.<l:9>',
    'glptt-<h:40>',
    'glagent-<b:50>',
    'gloas-<b:64>',
  ]),
  ...each('google-api-key', ['AIza<b:35>']),
  ...each('google-oauth-secret', ['GOCSPX-<b:28>']),
  ...each('google-oauth-token', ['ya29.<.:20-2000>', '1//0<b:28-200>'], { entropy: 3.5 }),
  ...each('grafana-token', ['glsa_<a:32>_<H:8>', 'glc_<B:32-400><e:0-2>', 'eyJrIjoi<B:70-400><e:0-2>']),
  ...each('groq-key', ['gsk_<a:52>']),
  ...each('heroku-key', ['HRKU-AA<b:58>', `HRKU-${UUID}`]),
  ...each('hubspot-token', [`pat-na1-${UUID}`, `pat-na2-${UUID}`, `pat-eu1-${UUID}`, `pat-ap1-${UUID}`]),
  ...each('huggingface-token', ['hf_<a:34>', 'api_org_<a:34>'], { entropy: 3.5 }),
  ...each('jfrog-token', ['AKCp<a:69>', 'cmVmdGtu<a:56>']),
  ...each('langsmith-key', ['lsv2_pt_<h:32>_<h:10>', 'lsv2_sk_<h:32>_<h:10>']),
  ...each('launchdarkly-key', [`sdk-${UUID}`, `api-${UUID}`]),
  ...each('linear-key', ['lin_api_<a:40>', 'lin_oauth_<h:64>', 'lin_wh_<a:40>']),
  ...each('mailgun-key', ['key-<h:32>'], { entropy: 3 }),
  ...each('netlify-token', ['nfp_<a:36-40>']),
  ...each('new-relic-key', ['NRAK-<u:27>', 'NRII-<b:32>', 'NRJS-<h:19>', 'NRRA-<h:42>', 'NRIQ-<b:32>']),
  ...each('notion-token', ['ntn_<a:46>', 'secret_<a:43>']),
  ...each('npm-token', ['npm_<a:36>']),
  ...each('nuget-key', ['oy2<l:43>'], { entropy: 3.5 }),
  ...each('onepassword-token', [
    'ops_eyJ<B:250-2000><e:0-2>',
    'A3-<u:6>-<u:6>-<u:5>-<u:5>-<u:5>-<u:5>',
    'A3-<u:6>-<u:11>-<u:5>-<u:5>-<u:5>',
  ]),
  ...each('openai-key', [
    'sk-proj-<b:40-200>',
    'sk-svcacct-<b:40-200>',
    'sk-admin-<b:40-200>',
    'sk-None-<b:40-200>',
    'sk-<a:20>T3BlbkFJ<a:20>',
    'sk-<a:48>',
    'sk-<h:32>',
  ]),
  ...each('openshift-token', ['sha256~<b:43>']),
  ...each('password-hash', ['$2a$<d:2>$<c:53>', '$2b$<d:2>$<c:53>', '$2y$<d:2>$<c:53>'], { entropy: 3 }),
  ...each('password-hash', [
    ...['i', 'd', 'id'].map(kind => `$argon2${kind}$v=<d:2>$m=<d:1-8>,t=<d:1-4>,p=<d:1-3>$<B:8-90>$<B:16-90>`),
    '$1$<c:1-16>$<c:22>',
    '$5$<c:1-16>$<c:43>',
    '$6$<c:1-16>$<c:86>',
    '$apr1$<c:1-16>$<c:22>',
    '$y$<c:1-8>$<c:4-90>$<c:43>',
    '$5$rounds=<d:4-9>$<c:1-16>$<c:43>',
    '$6$rounds=<d:4-9>$<c:1-16>$<c:86>',
    'pbkdf2_sha256$<d:4-8>$<a:6-40>$<B:43><e:1>',
    'pbkdf2_sha1$<d:4-8>$<a:6-40>$<B:27><e:1>',
    'SCRAM-SHA-256$<d:4-8>:<B:16-44><e:0-2>$<B:43><e:1>:<B:43><e:1>',
  ]),
  ...each('perplexity-key', ['pplx-<a:48-56>']),
  ...each('plaid-token', [`access-production-${UUID}`, `access-development-${UUID}`, `access-sandbox-${UUID}`]),
  ...each('planetscale-token', ['pscale_tkn_<~:32-64>', 'pscale_pw_<~:32-64>', 'pscale_oauth_<~:32-64>']),
  ...each('postman-key', ['PMAK-<h:24>-<h:34>']),
  ...each('prefect-key', ['pnu_<a:36>', 'pnb_<a:36>']),
  ...each('pulumi-token', ['pul-<h:40>']),
  ...each('pypi-token', ['pypi-AgEIcHlwaS5vcmc<b:50-1000>', 'pypi-AgENdGVzdC5weXBpLm9yZw<b:50-1000>']),
  ...each('readme-key', ['rdme_<l:70>']),
  ...each('render-key', ['rnd_<a:28-40>'], { entropy: 3.5 }),
  ...each('replicate-token', ['r8_<a:37>'], { entropy: 3.5 }),
  ...each('resend-key', ['re_<a:8>_<a:24>'], { entropy: 3.5 }),
  ...each('rubygems-key', ['rubygems_<h:48>']),
  ...each('scalingo-token', ['tk-us-<b:48>']),
  ...each('sendgrid-key', ['SG.<b:22>.<b:43>'], { entropy: 3.5 }),
  ...each('sentry-token', ['sntryu_<h:64>', 'sntrys_eyJ<E:60-600>_<B:43>']),
  ...each('shippo-token', ['shippo_live_<h:40>', 'shippo_test_<h:40>']),
  ...each('shopify-token', ['shpat_<H:32>', 'shpca_<H:32>', 'shppa_<H:32>', 'shpss_<H:32>', 'shptka_<H:32>']),
  ...each('slack-token', [
    ...['xoxb', 'xoxp', 'xoxa', 'xoxo', 'xoxr', 'xoxs'].flatMap(kind => [`${kind}-<d:8-14>-<b:16-120>`, `${kind}-<d:1>-<b:40-200>`]),
    'xoxe.xoxb-1-<a:140-180>',
    'xoxe.xoxp-1-<a:140-180>',
    'xoxe-1-<a:140-160>',
    'xapp-<d:1>-<u:9-12>-<d:10-14>-<l:60-70>',
    'xoxc-<d:8-14>-<b:16-120>',
    'xoxd-<%:60-300>',
  ]),
  ...each('sonar-token', ['sqp_<h:40>', 'squ_<h:40>', 'sqa_<h:40>']),
  ...each('square-token', ['sq0atp-<b:22>', 'sq0csp-<b:43>', 'EAAA<b:60>'], { entropy: 3.5 }),
  ...each('stripe-key', [
    ...['sk_live', 'sk_test', 'rk_live', 'rk_test', 'sk_prod', 'rk_prod'].map(kind => `${kind}_<a:10-247>`),
    'whsec_<E:32-64>',
  ]),
  ...each('supabase-key', ['sbp_<h:40>', 'sb_secret_<b:22-64>', 'sbp_v0_<h:40>']),
  ...each('tencent-secret-id', ['AKID<a:32>']),
  ...each('terraform-token', ['<a:14>.atlasv1.<b:60-80>']),
  ...each('twitter-bearer-token', ['AAAAAAAAAAAAAAAAAAAAA<%:80-110>'], {
    check: (bytes, start, end) => bytes.subarray(start, end).includes(37),
  }),
  ...each('typeform-token', ['tfp_<~:59>']),
  ...each('vault-token', ['hvs.<b:24-200>', 'hvb.<b:100-300>', 'hvr.<b:24-200>']),
  ...each('vercel-token', ['vcp_<a:24-60>', 'vck_<a:24-60>', 'vca_<a:24-60>', 'vcr_<a:24-60>', 'vci_<a:24-60>'], { entropy: 3.5 }),
  ...each('xai-key', ['xai-<a:80>']),
  ...each('yandex-key', ['AQVN<b:35-38>', 't1.<b:50-300><e:0-2>.<b:86><e:0-2>', 'y0_<b:50-60>'], { entropy: 3.5 }),
  ...each('discord-webhook', ['discord.com/api/webhooks/<d:17-20>/<b:60-80>', 'discordapp.com/api/webhooks/<d:17-20>/<b:60-80>'], ADDRESS),
  ...each(
    'slack-webhook',
    [
      'hooks.slack.com/services/T<u:8-12>/B<u:8-12>/<a:20-26>',
      'hooks.slack.com/workflows/T<u:8-12>/A<u:8-12>/<d:15-20>/<a:20-26>',
      'hooks.slack.com/triggers/T<u:8-12>/<d:10-14>/<h:32>',
    ],
    ADDRESS,
  ),
  ...each('teams-webhook', [`.webhook.office.com/webhookb2/${UUID}@${UUID}/IncomingWebhook/<h:32>/${UUID}`], ADDRESS),
];
