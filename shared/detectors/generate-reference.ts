/** Writes docs/reference/detectors.md: `node shared/detectors/generate-reference.ts`. The tables are computed, the text is here. */
import { writeFileSync } from 'node:fs';
import { labelledSet } from './labelled-set.ts';
import { NATIONAL_ID_DETECTORS, SECRET_DETECTORS } from './names.ts';
import { score, table } from './score.ts';

const LINES = 6_000;

const list = (names: readonly string[]): string => names.map(name => `\`${name}\``).join(', ');

export function referencePage(): string {
  const lines = labelledSet(LINES, 1);
  return `# Detectors

Detectors find secrets and personal data in values that nobody labelled. Name them in a DataPolicy; what they find becomes what
\`detectorMask\` says (\`redact\` when it is left out).

\`\`\`yaml
kind: DataPolicy
metadata: { name: find-secrets }
spec:
  resources: { labels: { env: prod } }
  detectors: [secrets, email, us-ssn, payment-card]
\`\`\`

Groups: \`all\`, \`secrets\`, \`personal-data\`, \`national-ids\`. A record's \`data_classes\` names the detectors that fired.

## What is found

A span is the value alone, without its keyword and quotes: the password of a connection string, the whole of a key block from BEGIN to
END, the address of a webhook. Of findings that overlap one is left, named by the more specific form; a secret that reaches beyond it
widens it.

- **Personal data**: \`email\`; \`payment-card\` (issuer ranges, length, Luhn; rare lengths need a word such as "card" nearby); \`iban\`
  (country, length, mod 97); \`phone\` (libphonenumber; numbers without \`+\` in the North American form, or near a word such as "phone");
  \`ip-address\` (v4 and v6, without loopback, netmasks and version numbers); \`passport\` (near the word).
- **National and tax ids**: ${list(NATIONAL_ID_DETECTORS)}. Check digits and dates are verified. Forms that say too little by themselves,
  such as nine digits, need a keyword within 48 bytes before or 16 after.
- **Secrets**: ${list(SECRET_DETECTORS)}. Vendors' tokens by their form, length and, where there is one, checksum (a GitHub token with a wrong
  checksum is none); \`generic-secret\` is what is assigned to a name such as \`password\` or \`api_key\` and looks chosen or random.
- **\`known-credentials\`**: the values of the credentials that Sallyport holds, in raw, URL-, JSON-, XML-, hex- and base64-encoded form.
  They need at least eight bytes.

Values inside of bytea (\`\\x…\`), JSON escapes (\`\\u0040\`), percent-encoding (\`%40\`) and XML references (\`&#64;\`) are decoded one level; the
mask covers what they were written with.

## Your own detectors

A DataPolicy may bring detectors of its own. They are always on, and records name them as the policy does.

\`\`\`yaml
kind: DataPolicy
metadata: { name: acme }
spec:
  resources: { labels: { env: prod } }
  detectors: [secrets]
  customDetectors:
    - { name: acme-key, pattern: '\\bacme_([0-9a-f]{32})\\b', keywords: [acme_], entropy: 3, secretGroup: 1 }
  gitleaks: { file: gitleaks.toml }
\`\`\`

- \`pattern\` has [RE2's syntax](https://github.com/google/re2/wiki/Syntax): no lookaround, no backreferences, no Unicode classes. It runs in
  time linear in the value; what could not is refused with the manifest's line.
- \`keywords\` (or a literal of three bytes that the pattern cannot do without) are looked for in the one pass over the bytes, and the
  pattern runs only where one stands. A detector without either runs on every value.
- \`entropy\` is the least Shannon entropy of the secret, \`secretGroup\` the group that is the secret, \`allow\` what is no finding all the same.
- \`gitleaks\` takes an existing gitleaks configuration: rules with \`regex\`, \`keywords\`, \`entropy\`, \`secretGroup\`, and allowlists (of a rule, global,
  global with \`targetRules\`) with \`regexes\`, \`stopwords\`, \`regexTarget\`, \`condition\`. \`apply\` and \`plan\` warn about each thing that is not
  carried over: \`[extend]\` (choose the built-in detectors instead), rules that are only about paths, the \`path\` of others (they hold for
  every value), commits, \`required\` (the rule holds by itself), rules with \`skipReport\`, and patterns that cannot run in linear time. A
  rule with the name of a built-in detector is called \`gitleaks-NAME\`. Of the 222 rules of gitleaks' own configuration 221 load.

With detectors of one's own, buffers are not skipped whole: each text value is looked at by itself, which costs throughput
(\`npm run -s bench:detectors\` prints what the built-in ones do).

## On the command line

\`\`\`sh
sallyport detect access.log                       # file:line:column: detector (n bytes)
sallyport detect --detectors secrets --json app.env
sallyport detect --jsonl < lines.jsonl            # {"id","text"} → {"id","spans":[[start,end,"detector"],…]}
\`\`\`

Offsets of \`--jsonl\` count Unicode code points. The values themselves are never printed. \`--exit-code\` gives 1 when something is found.

## Precision and recall

Scored by \`node shared/detectors/score.ts\` on ${lines.length} lines made from a seed, ${lines.filter(line => line.spans.length === 0).length} of them without anything to find: log lines, JSON,
env files, SQL rows, chat and code, with near misses (UUIDs, hashes, base64 images, versions, timestamps, order numbers, wrong check
digits, placeholders). Precision counts findings of the right name that overlap a label; the last column those with its very span. The
set is synthetic: expect less on text that is nothing like it. 506 lines as files, logs and dumps have them (field-lines.ts) were written
from public documentation without a look at the rules: 294 of their 297 values were found, with 4 wrong findings, before the rules were
mended by what they showed.

${table(score(lines))}
`;
}

if (import.meta.main) {
  const target = new URL('../../docs/reference/detectors.md', import.meta.url);
  writeFileSync(target, referencePage());
}
