/**
 * A labelled set to score the detectors on: log lines, JSON, env files, SQL rows, chat, code, with what should be found marked,
 * and lines that only look like it. Made from a seed; `node shared/detectors/score.ts` prints the table of
 * docs/reference/detectors.md from it.
 */
import {
  card,
  Draw,
  email,
  iban,
  ipAddress,
  jwt,
  type Maker,
  NATIONAL,
  personName,
  phone,
  privateKeyBlock,
  seededRandom,
  ssn,
  TOKENS,
} from './labelled-values.ts';

export interface LabelledLine {
  id: string;
  text: string;
  /** [start, end, detector], UTF-16 code units. */
  spans: [number, number, string][];
}

/** Puts a value into a frame at `@@`. */
function frame(text: string, value: string, detector: string, id: string): LabelledLine {
  const start = text.indexOf('@@');
  return { id, text: text.replace('@@', () => value), spans: [[start, start + value.length, detector]] };
}

const TOKEN_FRAMES = [
  'TOKEN=@@',
  'export API_TOKEN="@@"',
  '{"service":"ci","token":"@@","enabled":true}',
  'const client = new Client({ auth: "@@" });',
  '2025-02-11T08:14:09.113Z ERROR [deploy] login failed with @@ after 3 retries',
  'hey, use @@ until Monday please',
  'curl -H "X-Token: @@" https://api.example.com/v1/me',
  "INSERT INTO integrations (id, secret) VALUES (42, '@@');",
  '  key: @@',
  '42\tbuild\t@@\tt\t2025-01-02 03:04:05',
  '<config><value>@@</value></config>',
  'https://example.com/callback?code=1&access=@@&state=ok',
];

const EMAIL_FRAMES = [
  'user @@ logged in',
  '{"id":7,"email":"@@","active":true}',
  "INSERT INTO users VALUES (1,'Jane','@@','2024-01-01');",
  '17\tJane Roe\t@@\tt',
  'From: Jane Roe <@@>',
  'please write to @@, thanks!',
  'mailto:@@?subject=hi',
  'level=warn msg="bounce" to=@@ code=550',
  'ADMIN_EMAIL=@@',
  '<td>@@</td>',
  'Contact:@@;',
];

const CARD_FRAMES = [
  'card @@ exp 12/27',
  '{"amount":1999,"pan":"@@"}',
  'charge failed for @@: insufficient funds',
  'my number is @@, can you check?',
  "INSERT INTO payments VALUES (9, '@@', 19.99);",
  '88\t@@\t19.99\tEUR',
  'payment_card=@@',
  'cc: @@',
];

const SSN_FRAMES = [
  'SSN: @@',
  '{"ssn":"@@"}',
  'applicant @@ approved',
  "UPDATE people SET ssn = '@@' WHERE id = 3;",
  'name=Jane Roe ssn=@@ dob=1980-01-01',
  '5\tRoe\t@@\tactive',
  'my social is @@',
];
const SSN_BARE_FRAMES = ['ssn=@@', '{"ssn":"@@"}', 'SSN @@', 'Social Security Number: @@', 'social_security_number: @@'];

const PLAIN_FRAMES = ['value @@ stored', '{"value":"@@"}', "VALUES (1, '@@')", 'note: @@.', '12\t@@\tx'];

const CONNECTIONS = [
  'DATABASE_URL=postgres://app:@@@db.internal:5432/app',
  'connecting to mysql://root:@@@db.example.com/shop?charset=utf8',
  'mongodb+srv://svc:@@@cluster0.example.mongodb.net/test',
  'redis://:@@@cache.internal:6379/0',
  'amqp://guest2:@@@mq.internal:5672/vhost',
  'Server=db.internal;Database=shop;User Id=app;Password=@@;Encrypt=true',
  'jdbc:postgresql://db.internal/app?user=app&password=@@',
  'host=db.internal dbname=app user=app password=@@ sslmode=require',
];

const PASSWORD_FRAMES = [
  'password=@@',
  'DB_PASSWORD="@@"',
  '{"user":"bob","password":"@@"}',
  "password: '@@'",
  'mysql --user=root --password=@@ shop',
  'passwd = "@@"',
  "CREATE USER bob WITH PASSWORD '@@';",
  '<password>@@</password>',
  'userPassword: "@@",',
];
const KEY_FRAMES = [
  'api_key=@@',
  'API_KEY: "@@"',
  '{"apiKey":"@@"}',
  'client_secret = "@@"',
  'x-api-key: @@',
  'SECRET_TOKEN=@@',
  'auth_token: @@',
  "const accessKey = '@@';",
];

function positives(draw: Draw, perKind: number): LabelledLine[] {
  const lines: LabelledLine[] = [];
  const many = (detector: string, frames: readonly string[], make: Maker, count = perKind): void => {
    for (let i = 0; i < count; i++) lines.push(frame(draw.pick(frames), make(draw), detector, `${detector}-${i}`));
  };
  many('email', EMAIL_FRAMES, email, perKind * 4);
  many('payment-card', CARD_FRAMES, card, perKind * 4);
  many('us-ssn', SSN_FRAMES, ssn, perKind * 3);
  many('us-ssn', SSN_BARE_FRAMES, d => ssn(d).replace(/-/g, ''), perKind);
  many('iban', PLAIN_FRAMES, iban, perKind * 2);
  many('phone', ['call @@ now', 'phone: @@', '{"phone":"@@"}', 'tel @@', "VALUES ('Roe', '@@')", 'mobile=@@'], phone, perKind * 2);
  many(
    'ip-address',
    [
      'client @@ connected',
      '{"ip":"@@"}',
      'from @@ port 51234 ssh2',
      '@@ - - [10/Oct/2025:13:55:36 +0000] "GET / HTTP/1.1" 200 512',
      'remote_addr=@@ status=200',
      'banned [@@]',
    ],
    ipAddress,
    perKind * 2,
  );
  many('jwt', ['token: @@', 'Authorization: Bearer @@', '{"id_token":"@@"}', 'session=@@; Path=/'], jwt, perKind * 2);
  many('private-key', ['@@', 'key = "@@"', '{"private_key":"@@"}', 'see below\n@@\nthanks'], privateKeyBlock, perKind * 2);
  for (const [detector, make] of Object.entries(TOKENS)) {
    const strong = detector === 'github-token' || detector === 'aws-access-key';
    many(detector, TOKEN_FRAMES, make, strong ? perKind * 3 : perKind);
  }
  for (const [detector, { make, words }] of Object.entries(NATIONAL)) {
    many(
      detector,
      words.flatMap(word => [`${word}: @@`, `${word} @@`, `{"${word}":"@@"}`]),
      make,
    );
  }
  const password = (d: Draw): string =>
    d.pick([() => `${d.alnum(8)}!${d.digits(2)}`, () => d.alnum(16), () => `Xy${d.digits(1)}${d.alnum(9)}#`])();
  const urlPassword = (d: Draw): string => d.pick([() => d.alnum(14), () => `${d.alnum(6)}%40${d.alnum(6)}`])();
  many('connection-string', CONNECTIONS, urlPassword, perKind * 2);
  many(
    'basic-auth-url',
    [
      'https://bob:@@@git.example.com/x.git',
      'fetch http://admin:@@@files.example.com:8080/api',
      'PROXY=http://proxy:@@@proxy.example.com:3128',
    ],
    urlPassword,
  );
  many('generic-secret', PASSWORD_FRAMES, password, perKind * 3);
  many('generic-secret', KEY_FRAMES, d => d.pick([() => d.alnum(32), () => d.hex(40), () => d.base64url(43)])(), perKind * 3);
  many('bearer-token', ['Authorization: Bearer @@', '"Authorization": "Bearer @@"', "-H 'authorization: bearer @@'"], d => d.base64url(40));
  many('basic-auth', ['Authorization: Basic @@', '"authorization":"Basic @@"'], d =>
    Buffer.from(`${personName(d).replace(' ', '.')}:${d.alnum(12)}`).toString('base64'),
  );
  many('aws-secret-key', ['aws_secret_access_key = @@', 'AWS_SECRET_ACCESS_KEY=@@', '{"SecretAccessKey":"@@"}'], d => `a1${d.base64(37)}Z`);
  many(
    'azure-storage-key',
    ['DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=@@;EndpointSuffix=core.windows.net'],
    d => `${d.base64(86)}==`,
  );
  many(
    'azure-sas-token',
    ['https://acme.blob.core.windows.net/c?sv=2022-11-02&ss=b&srt=co&sp=r&se=2025-01-01T00:00:00Z&sig=@@'],
    d => `${d.alnum(43)}%3D`,
  );
  many('datadog-key', ['DD_API_KEY=@@', 'datadog_api_key: "@@"'], d => d.hex(32));
  many('heroku-key', ['HEROKU_API_KEY=@@', 'heroku api key: @@'], d => d.uuid());
  return lines;
}

/** A card number whose check digit is off by one. */
function badCard(draw: Draw): string {
  const good = card(draw);
  return good.slice(0, -1) + String((Number(good.at(-1)) + draw.between(1, 9)) % 10);
}

/** Lines without anything to find, most of them nearly. */
function negatives(draw: Draw, count: number): LabelledLine[] {
  const words = (n: number): string => Array.from({ length: n }, () => draw.pick(WORDS)).join(' ');
  const time = (): string =>
    `2025-${draw.pad(draw.between(1, 12), 2)}-${draw.pad(draw.between(1, 28), 2)}T${draw.pad(draw.below(24), 2)}:${draw.pad(draw.below(60), 2)}:${draw.pad(draw.below(60), 2)}.${draw.digits(3)}Z`;
  const makers: (() => string)[] = [
    () => `request_id=${draw.uuid()} took ${draw.below(5000)}ms`,
    () => `commit ${draw.hex(40)} by build ${draw.below(10000)}`,
    () => `sha256:${draw.hex(64)}`,
    () => `data:image/png;base64,iVBORw0KGgo${draw.base64(120)}==`,
    () => `${time()} INFO ${words(8)}`,
    () => `version ${draw.below(20)}.${draw.below(30)}.${draw.below(99)}.${draw.below(99)} released`,
    () => `app v${draw.below(9)}.${draw.below(30)}.${draw.below(99)}-rc.${draw.below(9)}`,
    () => `order #${draw.between(1, 9)}${draw.digits(9)} shipped`,
    () => `order 9${draw.digits(2)}-${draw.digits(7)}-${draw.digits(7)} delivered`,
    () => `invoice INV-${draw.digits(4)}-${draw.digits(6)} total ${draw.below(100000) / 100}`,
    () => `pi is 3.14159${draw.digits(12)} and e is 2.71828${draw.digits(10)}`,
    () => `{"ts":17${draw.digits(11)},"n":${draw.below(1e9)},"ratio":0.${draw.digits(16)}}`,
    () => `card ${badCard(draw)} rejected by validation`,
    () => `pan ${draw.pick(['9', '7', '1'])}${draw.digits(15)}`,
    () => `ssn 000-${draw.digits(2)}-${draw.digits(4)}`,
    () => `ssn 666-12-${draw.digits(4)}`,
    () => `ssn 123-00-${draw.digits(4)}`,
    () => `ssn 123-45-0000`,
    () => `part ${draw.digits(3)}-${draw.digits(2)}-${draw.digits(5)} in stock`,
    () => `zip 9${draw.digits(4)}-${draw.digits(4)}`,
    () => `import { ${draw.pick(WORDS)} } from '@${draw.pick(WORDS)}/${draw.pick(WORDS)}';`,
    () => `npm install ${draw.pick(WORDS)}@${draw.below(9)}.${draw.below(20)}.${draw.below(9)}`,
    () => `git clone git@github.com:${draw.pick(WORDS)}/${draw.pick(WORDS)}.git`,
    () => `<img src="logo@2x.png" alt="${draw.pick(WORDS)}">`,
    () => `@app.route("/${draw.pick(WORDS)}")`,
    () => `hey @${draw.pick(WORDS)} look at ${draw.pick(WORDS)} @ 5pm`,
    () => `password = os.environ["DB_PASSWORD"]`,
    () => `const password = process.env.PASSWORD;`,
    () => `password: string; token?: string | null;`,
    () => `if (password === undefined) throw new Error("password required");`,
    () => `please reset your password before ${draw.pick(WORDS)}`,
    () => `"password": "********"`,
    () => `password=\${DB_PASSWORD}`,
    () => `DB_PASSWORD=<your-password-here>`,
    () => `api_key: YOUR_API_KEY_HERE`,
    () => `token_type=bearer expires_in=3600`,
    () => `max_tokens=${draw.below(9000)} temperature=0.7`,
    () => `the secret of ${words(5)} is patience`,
    () => `secret_name=prod/db/main region=eu-west-1`,
    () => `gh${'p_'}${draw.alnum(36)} is not valid`,
    () => `gh${'p_'}${draw.alnum(20)}`,
    () => `AK${'IA'}${draw.chars('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 12)}`,
    () => `AK${'IA'}${draw.chars('abcdefghijklmnop', 16)}`,
    () => `ey${'J'}${draw.alnum(20)}.${draw.alnum(30)}`,
    () => `${draw.alnum(20)}.${draw.alnum(40)}.${draw.alnum(43)}`,
    () => `-----BEGIN CERTIFICATE-----\n${draw.base64(64)}\n${draw.base64(64)}\n-----END CERTIFICATE-----`,
    () => `-----BEGIN PUBLIC KEY-----\n${draw.base64(64)}\n-----END PUBLIC KEY-----`,
    () => `ssh-rsa AAAAB3NzaC1yc2E${draw.base64(200)} ${draw.pick(WORDS)}`,
    () => `std::vector<int>::iterator it = a::b::c();`,
    () => `at ${draw.below(24)}:${draw.pad(draw.below(60), 2)}:${draw.pad(draw.below(60), 2)} the ${words(4)}`,
    () => `mac 00:1a:${draw.hex(2)}:${draw.hex(2)}:${draw.hex(2)}:${draw.hex(2)}`,
    () => `listening on 127.0.0.1:${draw.between(1024, 65535)} and 0.0.0.0:80`,
    () => `netmask 255.255.255.0 metric ${draw.below(100)}`,
    () =>
      `Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/${draw.between(90, 130)}.0.${draw.below(7000)}.${draw.below(200)} Safari/537.36`,
    () => `SELECT * FROM orders WHERE id = ${draw.below(1e9)} AND status = 'open';`,
    () => `for (let i = 0; i < ${draw.below(1000)}; i++) sum += data[i] * 0x${draw.hex(8)};`,
    () => `${draw.below(1e6)}\t${words(2)}\t${draw.below(1e6) / 100}\t${draw.uuid()}\t\\N`,
    () => `tracking 1Z${draw.upperAlnum(16)} out for delivery`,
    () => `ISBN 978-${draw.digits(1)}-${draw.digits(4)}-${draw.digits(4)}-${draw.digits(1)}`,
    () => `lat=${draw.below(90)}.${draw.digits(6)} lon=-${draw.below(180)}.${draw.digits(6)}`,
    () => `color: #${draw.hex(6)}; width: ${draw.below(1000)}px;`,
    () => `DE${draw.digits(2)} ${draw.digits(4)} is a postal code in ${draw.pick(WORDS)}`,
    () => `https://example.com/${draw.pick(WORDS)}/${draw.below(1000)}?page=${draw.below(10)}&sort=${draw.pick(WORDS)}`,
    () => `postgres://db.internal:5432/app connected as ${draw.pick(WORDS)}`,
    () => `postgres://app:\${PASSWORD}@db.internal/app`,
    () => `SKU ${draw.upperAlnum(4)}-${draw.digits(4)}-${draw.upperAlnum(4)}`,
    () => `etag: "${draw.hex(32)}"`,
    () => `trace ${draw.hex(32)} span ${draw.hex(16)}`,
    () => `${words(20)}.`,
    () => `amount ${draw.digits(9)} cents, ref ${draw.digits(11)}`,
    () => `temperature sensor ${draw.digits(10)} reports ${draw.below(40)}.${draw.digits(2)}`,
    () =>
      `{"id":${draw.digits(9).replace(/^0/, '1')},"parent":${draw.digits(10).replace(/^0/, '1')},"seq":${draw.digits(12).replace(/^0/, '1')}}`,
    () => `arn:aws:iam::${draw.digits(12)}:role/${draw.pick(WORDS)}`,
    () => `pk_live_${draw.alnum(24)}`,
    () => `Bearer of bad news: ${words(5)}`,
    () => `Basic information about ${words(4)}`,
    () => `sig=${draw.hex(8)} version=2`,
    () => `CPF 111.111.111-11 and DNI 12345678A are placeholders`,
    () => `2025-03-0${draw.between(1, 9)} 10:11:12,${draw.digits(3)} [main] DEBUG c.e.App - ${words(6)}`,
  ];
  return Array.from({ length: count }, (_, i) => ({ id: `negative-${i}`, text: (makers[i % makers.length] as () => string)(), spans: [] }));
}

const WORDS =
  'the of and to in is that for it as was with be by on not from have or which one all were when we there can an your has more if no out do so up what its about into than them only other time some could these two may then first any my now such like our over me even most made after also did many before must through years where much way well down should because long each just those people too good state new old great same right look think take place point home hand high small large next early young few public important'.split(
    ' ',
  );

/** @param size lines; about half of them hold something. */
export function labelledSet(size: number, seed: number): LabelledLine[] {
  const draw = new Draw(seededRandom(seed));
  const kinds = Object.keys(TOKENS).length + Object.keys(NATIONAL).length + 50;
  const found = positives(draw, Math.max(1, Math.round(size / 2 / kinds)));
  return [...found, ...negatives(draw, Math.max(0, size - found.length))];
}
