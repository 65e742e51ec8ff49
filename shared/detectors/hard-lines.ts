/**
 * Lines of the tricky kind, beside labelled-set.ts: real forms at the edges of others, names and frames that tools write, and what only
 * looks like something. Made from a seed; every finding is expected, and nothing else is found (hard-lines.test.ts).
 */
import type { LabelledLine } from './labelled-set.ts';
import { Draw, iban, jwt, NATIONAL, privateKeyBlock, seededRandom, ssn, TOKENS } from './labelled-values.ts';

/** What is to be found stands in `«detector:value»`. */
export function marked(text: string, id: string): LabelledLine {
  const spans: [number, number, string][] = [];
  let out = '';
  let last = 0;
  for (const mark of text.matchAll(/«([a-z0-9-]+):([^»]*)»/g)) {
    const [whole, detector = '', value = ''] = mark;
    out += text.slice(last, mark.index);
    spans.push([out.length, out.length + value.length, detector]);
    out += value;
    last = mark.index + whole.length;
  }
  return { id, text: out + text.slice(last), spans };
}

export function hardLines(seed: number): LabelledLine[] {
  const d = new Draw(seededRandom(seed));
  const lines: LabelledLine[] = [];
  const L = (text: string): void => {
    lines.push(marked(text, `hard-${lines.length}`));
  };
  const T = (k: string) => `«${k}:${(TOKENS[k] as (d: Draw) => string)(d)}»`;
  const N = (k: string) => `«${k}:${NATIONAL[k]?.make(d)}»`;
  const luhn = (s: string) => {
    let sum = 0;
    Array.from(s)
      .reverse()
      .forEach((c, i) => {
        let v = Number(c);
        if (i % 2 === 0) {
          v *= 2;
          if (v > 9) v -= 9;
        }
        sum += v;
      });
    return s + String((10 - (sum % 10)) % 10);
  };
  const visa = () => luhn('4' + d.digits(14)),
    amex = () => luhn('37' + d.digits(12)),
    mc = () => luhn('53' + d.digits(13)),
    mc2 = () => luhn('2221' + d.digits(11)),
    disc = () => luhn('6011' + d.digits(11)),
    jcb = () => luhn('3528' + d.digits(11)),
    din = () => luhn('36' + d.digits(11));
  const g4 = (s: string, sep = ' ') => s.replace(/(.{4})(?=.)/g, `$1${sep}`);
  // e-mail
  for (const e of [
    'o.brien+news@mail.example.co.uk',
    "o'brien@example.ie",
    'first_last-99@sub.domain.example.museum',
    'x@y.io',
    'UPPER.CASE@EXAMPLE.COM',
    '123456@qq.com',
    'müller@example.de',
    'user%tag@example.org',
    'a.b.c.d.e@example.travel',
    'jane@xn--bcher-kva.example',
    'dev@例え.jp',
    'k@bücher.example',
    'info@my-company.consulting',
    'a&b@example.com',
    'no.reply_2024@e.mail-server-01.example.net',
  ]) {
    for (const f of [
      'Contact <@> today',
      '"@"',
      "('@',",
      'cc:@;bcc:',
      '[mail](mailto:@)',
      'to=@&from=x',
      '(@)',
      'E-Mail: @.',
      'user:@\\n',
      '@,',
      '>@</a>',
    ])
      if (Math.abs((e.length * 7 + f.length * 13) % 5) < 2) L(f.replace('@', `«email:${e}»`));
  }
  for (const t of [
    'user@localhost',
    'root@db01',
    'git@github.com:acme/repo.git',
    'foo@bar',
    '@media (max-width: 3px)',
    'a@b',
    'price @ 5.99',
    'npm i react@18.2.0',
    'docker pull img@sha256:' + d.hex(64),
    'x@1.2.3.4.5',
    'me@.com',
    '@user.name hi',
    'java.lang.Object@1f2e3d',
    'key@2x.png',
    'icon@3x.jpg',
    'lodash@4.17.21',
    'ssh deploy@web-1',
    'commit by @octocat',
    'foo@example',
    'C@ll me',
  ])
    L(t);
  // cards
  for (const c of [visa(), amex(), mc(), mc2(), disc(), jcb()]) {
    L(`pan=«payment-card:${c}»`);
    L(`card: «payment-card:${c.length === 15 ? `${c.slice(0, 4)} ${c.slice(4, 10)} ${c.slice(10)}` : g4(c)}» exp 04/29 cvv 123`);
    L(
      `{"number":"«payment-card:${c.length === 15 ? `${c.slice(0, 4)}-${c.slice(4, 10)}-${c.slice(10)}` : g4(c, '-')}"»`.replace(
        '"»',
        '»"',
      ) + '}',
    );
    L(`${c}0 is too long`);
    L(`1${c} is a serial`);
    L(`x${c}y`);
  }
  L(`${visa().slice(0, 15)}`);
  L(`tx ${d.digits(22)}`);
  L(`uuid ${d.uuid()}`);
  L(`ts 1699999999999 id 4111`);
  L('0000 0000 0000 0000');
  L('4111-1111-1111-1112');
  L(`imei 35${d.digits(13)}`);
  L(`gtin 0${d.digits(13)}`);
  L(`card ending in 4242`);
  L('**** **** **** 4242');
  L(`Diners «payment-card:${din()}»`);
  // SSN
  const s = () => ssn(d);
  L(`ssn «us-ssn:${s()}», dob 01/02/1980`);
  L(`Social: «us-ssn:${s()}»`);
  L(`SS# «us-ssn:${s()}»`);
  L(`<ssn>«us-ssn:${s().replace(/-/g, '')}»</ssn>`);
  L(`"SSN","«us-ssn:${s()}»"`);
  L(`ssn=«us-ssn:${s().replace(/-/g, ' ')}»`);
  L(`tax_id_ssn: «us-ssn:${s()}»`);
  L('1234-56-7890');
  L('lot 123-45-67890');
  L('SSN: XXX-XX-1234');
  L('ssn: ***-**-1234');
  L('000-05-1120');
  // tokens in unusual frames
  const frames = [
    'Bearer=@',
    'remote: Invalid token @.',
    '- name: TOK\n  value: "@"',
    '<add key="k" value="@"/>',
    "os.environ['T'] = '@'",
    '`@`',
    '| prod | @ | yes |',
    '# old: @',
    'https://h.example/x?token=@#frag',
    '{\\"t\\":\\"@\\"}',
    'key=@;next=1',
    '"@",',
    '(@)',
    '\t@\t',
    'pass:@',
    '--token @ --yes',
    'x-token:@\r\n',
    '[@]',
    '"value":"@\\n"',
    'set T=@ && run',
  ];
  let fi = 0;
  for (const k of Object.keys(TOKENS)) for (let i = 0; i < 2; i++) L((frames[fi++ % frames.length] ?? '@').replace('@', () => T(k)));
  // secrets by name
  for (const f of [
    'PGPASSWORD=@ psql',
    'spring.datasource.password=@',
    '"pwd": "@"',
    'MYSQL_ROOT_PASSWORD: @',
    "password => '@'",
    '$config["db_pass"] = "@";',
    'Password: @',
    'secret_key_base: @',
    'SECRET_KEY = "@"',
    'client_secret=@&grant_type=x',
    'AUTH_SECRET="@"',
    'apiSecret: "@",',
    'encryption_key=@',
    'private_token=@',
    '<password>@</password>',
    'IDENTIFIED BY "@"',
    "ENCRYPTED PASSWORD '@'",
    '"connectionPassword" : "@"',
    'app.api-key=@',
    'X-API-Key: @',
    'db.password = @',
    'passphrase: @',
    'credentials.secret=@',
  ])
    for (let i = 0; i < 2; i++)
      L(f.replace('@', () => `«generic-secret:${i === 0 ? `${d.alnum(12)}7${d.alnum(7)}` : `${d.alnum(9)}#${d.digits(3)}Q`}»`));
  for (const t of [
    'password=',
    'password: null',
    'password=password',
    'password: changeme',
    'password = get_password()',
    'password=$1',
    'PASSWORD=%s',
    'password: {{ vault_password }}',
    'password=xxxxxxxx',
    'password_hash = None',
    'password: required',
    'passwordField.getText()',
    'password_min_length=12',
    'secret: true',
    'token=undefined',
    'tokens: 512',
    'token_count=1024',
    'api_key=None',
    'api_key: ""',
    'api_key=<redacted>',
    'apiKey: process.env.API_KEY',
    'secretName: my-tls-cert',
    'secretKeyRef: db-creds',
    'password reset link sent',
    'forgot password?',
    'Enter password:',
    'password.length >= 8',
    '"password": "string"',
    'key: value',
    'primary_key=id',
    'public_key: id_rsa.pub',
    'foreign key (customer_id)',
    'keyboard=qwerty',
    'access_token=...',
    'password: "(hidden)"',
    'password="••••••••"',
    "password = input('Password: ')",
    'secret = config.get("secret")',
    `token: \${{ secrets.GITHUB_TOKEN }}`,
    `password=@Value("\${db.password}")`,
    'KEY=../keys/id',
    'password: !vault |',
    'password=[FILTERED]',
    'pwd=/home/app',
    'PWD=/var/lib/postgresql',
    'api_key=test',
    'token=abc',
    'password=example',
  ])
    L(t);
  // connection strings
  for (const f of [
    'postgresql+psycopg2://svc:@@pg.example:5432/x',
    'DSN=mysql://u:@@tcp(db:3306)/db',
    'amqps://app:@@mq.example/%2f',
    'rediss://default:@@r.example:6380',
    'mongodb://a:@@h1.example,h2.example/db?replicaSet=r',
    'Data Source=h;Initial Catalog=d;User ID=u;Password=@;',
    'Server=h;Uid=u;Pwd=@;',
    'jdbc:mysql://h/db?user=u&password=@&useSSL=true',
    'host=h user=u password=@ dbname=d',
    'clickhouse://u:@@ch.example:9000/d',
    'sqlserver://sa:@@h.example:1433;database=x',
    'snowflake://u:@@acct/db',
    'cockroachdb://u:@@h.example:26257/d',
  ])
    L(f.replace('@', () => `«connection-string:${d.alnum(15)}»`));
  for (const t of [
    'postgres://localhost/db',
    'postgres://user@localhost/db',
    'redis://localhost:6379',
    `postgres://user:\${PW}@localhost/db`,
    'mysql://h/db?user=x',
    'https://user@example.com/',
    'http://example.com:8080/a@b',
    'ftp://example.com',
  ])
    L(t);
  L(`git clone https://oauth2:«basic-auth-url:${d.alnum(18)}»@git.example.com/a.git`);
  L(`curl -u https://u:«basic-auth-url:${d.alnum(12)}»@h.example/`);
  L(`Authorization: Basic «basic-auth:${Buffer.from('bob.k:' + d.alnum(12)).toString('base64')}»`);
  L(`authorization: bearer «bearer-token:${d.base64url(48)}»`);
  L(`jwt «jwt:${jwt(d)}»`);
  L(`{"access_token":"«jwt:${jwt(d)}»","expires_in":3600}`);
  L(`Cookie: s=«jwt:${jwt(d)}»; Path=/`);
  L(`«private-key:${privateKeyBlock(d)}»`);
  L(`-----BEGIN CERTIFICATE REQUEST-----\n${d.base64(64)}\n-----END CERTIFICATE REQUEST-----`);
  L('-----BEGIN PGP PUBLIC KEY BLOCK-----');
  L('-----BEGIN RSA PRIVATE KEY-----');
  // IBAN, phone, IP
  for (let i = 0; i < 6; i++) {
    L(`IBAN «iban:${iban(d)}»`);
    L(`pay to «iban:${iban(d)}», thanks`);
  }
  L('DE00 1234 5678 9012 3456 78');
  L('GB82 WEST 1234 5698 7654 33');
  L('iban «iban:GB82 WEST 1234 5698 7654 32»');
  L('"iban":"«iban:DE89370400440532013000»"');
  L('«iban:FR1420041010050500013M02606»');
  L('NL92ABNA0417164300');
  for (const p of [
    '+1 (415) 555-2671',
    '+44 20 7946 0958',
    '+49 30 901820',
    '+33 1 42 68 53 00',
    '+81 3-1234-5678',
    '+61 2 9374 4000',
    '+91 98765 43210',
    '+55 11 91234-5678',
    '+39 06 698 1234',
    '+34 912 345 678',
    '+31 20 794 0800',
    '+46 8 123 456 78',
    '+41 44 668 18 00',
    '+86 10 6552 9988',
    '+7 495 123-45-67',
  ]) {
    L(`phone: «phone:${p}»`);
    L(`reach me at «phone:${p}» please`);
  }
  for (const p of ['(415) 555-2671', '415-555-2671', '415.555.2671', '030 901820']) L(`tel: «phone:${p}»`);
  for (const t of [
    '2024-01-02 03:04',
    'version 1.2.3.4',
    'id 4155552671',
    '12-34-56',
    '555-1234 units',
    'page 100-200',
    'isbn 0-306-40615-2',
    '10.000.000',
    '+100%',
    '+5',
    'score +12 345',
    'range 1000-2000',
    '(123)',
    'fax machine 3000',
    'build 20240102030405',
    '+1',
    'coords +40.7128 -74.0060',
    'offset +0530',
    'at 14:00+02:00',
    '+49.5 kg',
  ])
    L(t);
  for (const i of [
    '8.8.8.8',
    '203.0.113.77',
    '2001:db8::8a2e:370:7334',
    '2606:4700:4700::1111',
    '2a00:1450:4001:81b::200e',
    'fe80::1ff:fe23:4567:890a',
    '::ffff:203.0.113.9',
  ]) {
    L(`peer «ip-address:${i}» ok`);
    L(`"ip":"«ip-address:${i}"»`.replace('"»', '»"'));
    L(`src=«ip-address:${i}» dst=x`);
  }
  for (const t of [
    '1.2.3',
    '256.1.1.1',
    '1.2.3.4.5',
    '999.999.999.999',
    'OID 1.3.6.1.4.1.311',
    '12:34:56',
    'aa:bb:cc:dd:ee:ff',
    'a::b',
    'std::string',
    '::',
    '0.0.0.0',
    '127.0.0.1',
    '::1',
    'v10.0.19041.1234',
    'Chrome/120.0.0.0',
    'section 3.1.4.1 says',
    '10:20:30:40',
    'C::D::E',
    'ratio 1:2',
    'beef:cafe',
  ])
    L(t);
  // national ids with words
  for (const k of Object.keys(NATIONAL)) {
    const w = NATIONAL[k]?.words[0] ?? '';
    L(`${w}=${N(k)}`);
    L(`"${w}" : "${N(k)}",`);
    L(`${w.toUpperCase()}: ${N(k)}`);
  }
  // aws secret etc.
  L(`AWS_SECRET_ACCESS_KEY="«aws-secret-key:a1${d.base64(37)}Z»"`);
  L(`aws_secret_access_key: «aws-secret-key:b2${d.base64(37)}Y»`);
  L(`secretAccessKey: '«aws-secret-key:c3${d.base64(37)}X»'`);
  // noise
  for (let i = 0; i < 40; i++) {
    L(`sha1 ${d.hex(40)}`);
    L(`md5sum ${d.hex(32)}  file${i}.tar.gz`);
    L(`etag W/"${d.hex(16)}"`);
    L(`data:font/woff2;base64,${d.base64(200)}`);
    L(`integrity="sha512-${d.base64(86)}=="`);
    L(`traceparent: 00-${d.hex(32)}-${d.hex(16)}-01`);
    L(`ray id ${d.hex(16)}-FRA`);
    L(`session ${d.uuid()} ${d.digits(13)}`);
    L(`x${d.alnum(30)}`);
    L(`ETag "${d.base64url(22)}"`);
    L(`nonce=${d.base64(24)}`);
    L(`cursor=${Buffer.from(JSON.stringify({ id: d.below(1e6) })).toString('base64')}`);
  }
  return lines;
}
