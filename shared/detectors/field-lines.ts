/**
 * Lines as they stand in the files that pass a gateway: logs, configuration in every notation, shell history, dumps, traces, lockfiles.
 * They are written from the formats' and the vendors' public documentation, and not from the detectors, so that they tell what those
 * miss. Made from a seed; what is to be found stands in `«detector:value»`, and nothing else is (hard-lines.test.ts).
 */
import { marked } from './hard-lines.ts';
import type { LabelledLine } from './labelled-set.ts';
import { Draw, iban, jwt, NATIONAL, privateKeyBlock, seededRandom, ssn, TOKENS } from './labelled-values.ts';

type Write = (...texts: readonly string[]) => void;

/** Vendors' tokens, each in a file that would hold it. */
function tokens(d: Draw, write: Write): void {
  const token = (name: string): string => `«${name}:${(TOKENS[name] as (draw: Draw) => string)(d)}»`;
  write(
    // .env files and shells
    `SLACK_WEBHOOK_URL=«slack-webhook:https://hooks.${'slack'}.com/services/T${d.upperAlnum(8)}/B${d.upperAlnum(10)}/${d.alnum(24)}»`,
    `DISCORD_HOOK="«discord-webhook:https://discord.com/api/webhooks/${d.digits(18)}/${d.base64url(68)}»"`,
    `STRIPE_SECRET_KEY=«stripe-key:sk_${'live'}_51${d.alnum(97)}»`,
    `export STRIPE_RESTRICTED="«stripe-key:rk_${'live'}_${d.alnum(24)}»"`,
    `SENDGRID_API_KEY='«sendgrid-key:SG.${d.base64url(22)}.${d.base64url(43)}»'`,
    `OPENAI_API_KEY=«openai-key:sk-${'proj'}-${d.base64url(74)}T3${'Blbk'}FJ${d.base64url(74)}»`,
    `ANTHROPIC_API_KEY=«anthropic-key:sk-${'ant'}-api03-${d.base64url(93)}AA»`,
    `HF_TOKEN=«huggingface-token:hf_${d.chars('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ', 34)}»`,
    `export DIGITALOCEAN_ACCESS_TOKEN=«digitalocean-token:dop_v1_${d.hex(64)}»`,
    `VAULT_TOKEN=«vault-token:hvs.${d.base64url(95)}»`,
    `//registry.npmjs.org/:_authToken=${token('npm-token')}`,
    `password = «pypi-token:pypi-AgEIcHlwaS5vcmc${d.base64url(160)}»`,
    `GH_TOKEN=${token('github-token')} gh release create v1.4.0`,
    `git remote set-url origin https://x-access-token:${token('github-token')}@github.com/acme/app.git`,
    `echo ${token('github-token')} | docker login ghcr.io -u deploy --password-stdin`,
    `machine github.com login deploy password ${token('github-token')}`,
    `GITLAB_TOKEN: «gitlab-token:glpat-${d.base64url(20)}»`,
    `docker login -u acme -p «docker-token:dckr_pat_${d.base64url(27)}»`,
    `DD_API_KEY=«datadog-key:${d.hex(32)}»`,
    `datadog:\n  api_key: «datadog-key:${d.hex(32)}»`,
    `TWILIO_AUTH_TOKEN=«twilio-key:${d.hex(32)}»`,
    `AIRTABLE_PAT=«airtable-token:pat${d.alnum(14)}.${d.hex(64)}»`,
    `MAILGUN_API_KEY=«mailgun-key:key-${d.hex(32)}»`,
    `MAILCHIMP=«mailchimp-key:${d.hex(32)}-us14»`,
    `SHOPIFY_TOKEN="«shopify-token:shpat_${d.hex(32)}»"`,
    `square.access_token=«square-token:EAAA${d.base64url(60)}»`,
    `FIGMA="«figma-token:figd_${d.base64url(40)}»"`,
    `notion: «notion-token:ntn_${d.digits(11)}${d.alnum(35)}»`,
    `POSTMAN_API_KEY: «postman-key:PMAK-${d.hex(24)}-${d.hex(34)}»`,
    `PULUMI_ACCESS_TOKEN=«pulumi-token:pul-${d.hex(40)}»`,
    `credentials "app.terraform.io" { token = "«terraform-token:${d.alnum(14)}.atlasv1.${d.base64url(67)}»" }`,
    `LINEAR_API_KEY=«linear-key:lin_api_${d.alnum(40)}»`,
    `DOPPLER_TOKEN=«doppler-token:dp.pt.${d.alnum(43)}»`,
    `NUGET_KEY=«nuget-key:oy2${d.lowerAlnum(43)}»`,
    `dotnet nuget push a.nupkg -k «nuget-key:oy2${d.lowerAlnum(43)}» -s https://api.nuget.org/v3/index.json`,
    `:rubygems_api_key: «rubygems-key:rubygems_${d.hex(48)}»`,
    `GROQ_API_KEY=«groq-key:gsk_${d.alnum(52)}»`,
    `REPLICATE_API_TOKEN=«replicate-token:r8_${d.alnum(37)}»`,
    `PERPLEXITY_API_KEY=«perplexity-key:pplx-${d.alnum(48)}»`,
    `XAI_API_KEY="«xai-key:xai-${d.alnum(80)}»"`,
    `RESEND_API_KEY=«resend-key:re_${d.alnum(8)}_${d.alnum(24)}»`,
    `SUPABASE_ACCESS_TOKEN=«supabase-key:sbp_${d.hex(40)}»`,
    `PLANETSCALE: «planetscale-token:pscale_tkn_${d.base64url(43)}»`,
    `SENTRY_AUTH_TOKEN=«sentry-token:sntrys_${Buffer.from(`{"iat":1687336543.633742,"url":"https://sentry.io","org":"acme"}`).toString('base64').replace(/=+$/, '')}_${d.base64(43)}»`,
    `GRAFANA_SA: «grafana-token:glsa_${d.alnum(32)}_${d.hex(8)}»`,
    `NEW_RELIC_API_KEY=«new-relic-key:NRAK-${d.upperAlnum(27)}»`,
    `cookie_key, dynatrace=«dynatrace-token:dt0c01.${d.chars('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 24)}.${d.chars('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 64)}»`,
    `DATABRICKS_TOKEN=«databricks-token:dapi${d.hex(32)}»`,
    `ATLASSIAN_API_TOKEN=«atlassian-token:ATATT3xFfGF0${d.base64url(170)}=${d.upperAlnum(8)}»`,
    `tailscale up --authkey=«tailscale-key:tskey-${'auth'}-${d.alnum(12)}CNTRL-${d.alnum(32)}»`,
    `FLY_API_TOKEN="FlyV1 «fly-token:fm2_${d.base64(200)}»"`,
    `cargo login «crates-io-token:cio${d.alnum(32)}»`,
    `AGE: «age-secret-key:AGE-SECRET-KEY-1${d.chars('QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L', 58)}»`,
    `op read ... «onepassword-token:ops_eyJ${d.base64(300)}»`,
    `TELEGRAM_BOT_TOKEN=«telegram-bot-token:${d.pick(['1', '5', '7'])}${d.digits(9)}:AA${d.base64url(33)}»`,
    `curl https://api.telegram.org/bot«telegram-bot-token:6${d.digits(9)}:AA${d.base64url(33)}»/getMe`,
    `GOOGLE_MAPS_KEY=«google-api-key:AI${'za'}Sy${d.base64url(33)}»`,
    `<script src="https://maps.googleapis.com/maps/api/js?key=«google-api-key:AI${'za'}Sy${d.base64url(33)}»&libraries=places"></script>`,
    `"client_secret":"«google-oauth-secret:GOCSPX-${d.base64url(28)}»","redirect_uris":["https://a.example/cb"]`,
    `refresh=«google-oauth-token:ya29.${d.base64url(180)}»`,
    // clouds
    `aws_access_key_id = «aws-access-key:AK${'IA'}${d.chars('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 16)}»`,
    `aws_secret_access_key = «aws-secret-key:${d.alnum(8)}/${d.alnum(14)}+${d.alnum(16)}»`,
    `export AWS_ACCESS_KEY_ID=«aws-access-key:AS${'IA'}${d.chars('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 16)}» AWS_SECRET_ACCESS_KEY=«aws-secret-key:${d.alnum(40)}»`,
    `{"AccessKeyId":"«aws-access-key:AS${'IA'}${d.chars('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 16)}»","SecretAccessKey":"«aws-secret-key:${d.alnum(20)}/${d.alnum(19)}»"}`,
    `DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=«azure-storage-key:${d.base64(86)}==»;EndpointSuffix=core.windows.net`,
    `AZURE_CLIENT_SECRET=«azure-client-secret:${d.alnum(3)}8Q~${d.chars('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_', 34)}»`,
    `https://acme.blob.core.windows.net/c/b.txt?sv=2022-11-02&se=2026-01-01T00%3A00%3A00Z&sr=b&sp=r&sig=«azure-sas-token:${d.alnum(42)}%3D»`,
    `LTAI for aliyun: «alibaba-access-key:LTAI5t${d.alnum(18)}»`,
    `slack_bot_token: ${token('slack-token')}`,
    `SLACK_APP_TOKEN=«slack-token:xapp-1-A${d.upperAlnum(10)}-${d.digits(13)}-${d.hex(64)}»`,
    `heroku auth: HEROKU_API_KEY=«heroku-key:${d.uuid()}»`,
  );
}

/** Secrets that only their names give away, and the ways to write them down. */
function assigned(d: Draw, write: Write): void {
  const secret = (): string => `«generic-secret:${d.alnum(7)}${d.digits(2)}${d.alnum(9)}»`;
  const strong = (): string => `«generic-secret:${d.alnum(5)}!${d.digits(2)}${d.alnum(4)}»`;
  write(
    `DB_PASSWORD=${secret()}`,
    `export ADMIN_PASSWORD='${strong()}'`,
    `REDIS_PASSWORD="${secret()}" # rotated in May`,
    `  password: ${strong()}`,
    `  - name: DB_PASS\n    value: "${secret()}"`,
    `"password":"${strong()}","remember":true`,
    `[database]\nuser = "app"\npassword = "${secret()}"`,
    `jwt.secret=${secret()}`,
    `spring.mail.password=${strong()}`,
    `app.secret_key: '${secret()}'`,
    `define('DB_PASSWORD', '${strong()}');`,
    `const apiKey = "${secret()}";`,
    `private static final String PASSWORD = "${strong()}";`,
    `secret_key = '${secret()}' # Flask`,
    `os.environ["API_SECRET"] = "${secret()}"`,
    `var dbPassword string = "${strong()}"`,
    `let auth_token: &str = "${secret()}";`,
    `ALTER USER app WITH PASSWORD '${strong()}';`,
    `CREATE ROLE svc LOGIN PASSWORD '${secret()}';`,
    `CREATE USER 'app'@'%' IDENTIFIED BY '${strong()}';`,
    `INSERT INTO settings (name, value) VALUES ('smtp_password', '${secret()}');`,
    `mysqldump --user=root --password=${secret()} shop > shop.sql`,
    `export PGPASSWORD=${secret()}; psql -h db -U app`,
    `redis-cli -h cache -a ${secret()} ping`,
    `vault kv put secret/app password=${strong()}`,
    `kubectl create secret generic db --from-literal=password=${secret()}`,
    `docker run -e POSTGRES_PASSWORD=${secret()} postgres:17`,
    `ansible_become_password: ${strong()}`,
    `"clientSecret": "${secret()}",`,
    `client_id=acme&client_secret=${secret()}&grant_type=client_credentials`,
    `POST /login username=bob&password=${secret()} 200`,
    `x-api-key: ${secret()}`,
    `X-Auth-Token: ${secret()}`,
    `<property name="hibernate.connection.password">${strong()}</property>`,
    `<password>${secret()}</password>`,
    `<add key="SmtpPassword" value="${strong()}" />`,
    `passwd: ${strong()}`,
    `the wifi password is ${strong()}`,
    `kafka.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="app" password="${secret()}";`,
    `storePassword=${secret()}`,
    `keystore.password=${secret()}`,
    `encryption_key: "${secret()}"`,
    `signing_secret: ${secret()}`,
    `webhook_secret = "${secret()}"`,
    `"access_token": "${secret()}", "token_type": "bearer"`,
    `root:«password-hash:$6$${d.alnum(16)}$${d.alnum(86)}»:19000:0:99999:7:::`,
    `admin:«password-hash:$2y$10$${d.alnum(53)}»`,
    `password_hash | «password-hash:$argon2id$v=19$m=65536,t=3,p=4$${d.base64(22)}$${d.base64(43)}»`,
    // connection strings and addresses with credentials
    `DATABASE_URL=postgresql://app:«connection-string:${d.alnum(18)}»@db.internal.example:5432/app?sslmode=require`,
    `MONGO_URL="mongodb+srv://svc:«connection-string:${d.alnum(16)}»@cluster0.ab1cd.mongodb.net/prod"`,
    `REDIS_URL=redis://:«connection-string:${d.alnum(24)}»@cache.example:6379/0`,
    `CELERY_BROKER_URL=amqp://worker:«connection-string:${d.alnum(14)}»@mq.example:5672//`,
    `Server=tcp:db.example,1433;Database=app;User Id=sa;Password=«connection-string:${d.alnum(9)}!${d.digits(3)}»;Encrypt=true`,
    `mysql://root:«connection-string:${d.alnum(12)}»@127.0.0.1:3306/shop`,
    `jdbc:postgresql://db.example:5432/app?user=app&password=«connection-string:${d.alnum(15)}»`,
    `pip install --index-url https://ci:«basic-auth-url:${d.alnum(20)}»@pypi.example/simple acme`,
    `wget ftp://mirror:«basic-auth-url:${d.alnum(11)}»@ftp.example.org/a.tgz`,
    `proxy=http://user:«basic-auth-url:${d.alnum(13)}»@proxy.example:3128`,
    `curl -H 'Authorization: Basic «basic-auth:${Buffer.from(`svc:${d.alnum(16)}`).toString('base64')}»' https://api.example`,
    `curl -H "Authorization: Bearer «bearer-token:${d.base64url(43)}»" https://api.example/v1/me`,
    `> authorization: Bearer «jwt:${jwt(d)}»`,
    `Set-Cookie: session=«jwt:${jwt(d)}»; HttpOnly; Secure`,
    `id_token=«jwt:${jwt(d)}»&state=x`,
    `cat > id_ed25519 <<EOF\n«private-key:${privateKeyBlock(d)}»\nEOF`,
    `"private_key": "«private-key:${privateKeyBlock(d).trim().replaceAll('\n', '\\n')}»\\n",`,
    `tls.key: |\n  «private-key:${privateKeyBlock(d).trim().replaceAll('\n', '\n  ')}»`,
  );
}

/** Data about people in forms, dumps and tickets. */
function people(d: Draw, write: Write): void {
  const luhn = (body: string): string => {
    let sum = 0;
    for (let i = 0; i < body.length; i++) {
      const digit = Number(body.charAt(body.length - 1 - i)) * (i % 2 === 0 ? 2 : 1);
      sum += digit > 9 ? digit - 9 : digit;
    }
    return `${body}${(10 - (sum % 10)) % 10}`;
  };
  const four = (number: string, separator: string): string => number.replace(/(.{4})(?=.)/g, `$1${separator}`);
  const visa = luhn(`4${d.digits(14)}`);
  const master = luhn(`52${d.digits(13)}`);
  const amex = luhn(`34${d.digits(12)}`);
  write(
    `INSERT INTO cards VALUES (17, '«payment-card:${visa}»', '12/27');`,
    `{"card_number": "«payment-card:${four(master, ' ')}»", "cvc": "123"}`,
    `Card: «payment-card:${four(visa, '-')}» exp 09/28`,
    `amex «payment-card:${amex.slice(0, 4)} ${amex.slice(4, 10)} ${amex.slice(10)}»`,
    `2025-03-01 12:00:00 WARN payment declined pan=«payment-card:${master}» reason=05`,
    `17\tJane Roe\t«us-ssn:${ssn(d)}»\t1980-02-01`,
    `SSN of the applicant: «us-ssn:${ssn(d)}».`,
    `"socialSecurityNumber":"«us-ssn:${ssn(d)}»"`,
    `ssn «us-ssn:${ssn(d).replaceAll('-', '')}»`,
    `Please wire to IBAN «iban:${iban(d)}» by Friday.`,
    `COPY accounts FROM stdin;\n1\t«iban:${iban(d).replaceAll(' ', '')}»\tEUR`,
    `{"iban":"«iban:${iban(d).replaceAll(' ', '')}»","bic":"COBADEFFXXX"}`,
    `From: Ann <«email:ann.lee@example.org»>`,
    `mailto:«email:sales@example.co.uk»?subject=Hi`,
    `"email":"«email:j.doe+tag@sub.example.com»","verified":true`,
    `user «email:bob_smith@example.io» logged in from «ip-address:198.51.100.23»`,
    `«ip-address:203.0.113.195» - - [10/Oct/2025:13:55:36 +0000] "GET /index.html HTTP/1.1" 200 2326`,
    `X-Forwarded-For: «ip-address:203.0.113.7», «ip-address:198.51.100.17»`,
    `sshd[811]: Failed password for root from «ip-address:192.0.2.44» port 51122 ssh2`,
    `listen [«ip-address:2001:db8:85a3::8a2e:370:7334»]:443`,
    `remote_addr=«ip-address:2a02:8109:9c40:1f2::17» status=200`,
    `Call me: «phone:+1 212-555-0143»`,
    `Tel.: «phone:+49 89 636 48018»`,
    `phone,"«phone:(212) 456-7890»"`,
    `"mobile":"«phone:+447911123456»"`,
    `WhatsApp «phone:+34 612 34 56 78»`,
    `Téléphone : «phone:06 12 34 56 78»`,
    `mobile: «phone:07911 123456»`,
    `contact_phone=«phone:+61 412 345 678»`,
    `fax «phone:212-456-7890»`,
  );
  const names: Readonly<Record<string, readonly string[]>> = {
    'uk-nhs-number': ['NHS number', 'nhs_number'],
    'uk-nino': ['National Insurance', 'nino'],
    'ca-sin': ['SIN', 'social insurance number'],
    'de-tax-id': ['Steuer-ID', 'Steueridentifikationsnummer'],
    'fr-nir': ['NIR', 'numéro de sécurité sociale'],
    'es-dni': ['DNI', 'dni'],
    'es-nie': ['NIE'],
    'it-codice-fiscale': ['codice fiscale', 'CF'],
    'nl-bsn': ['BSN', 'burgerservicenummer'],
    'pl-pesel': ['PESEL', 'pesel'],
    'br-cpf': ['CPF', 'cpf'],
    'in-aadhaar': ['Aadhaar', 'aadhaar_number'],
    'in-pan': ['PAN', 'pan_number'],
    'kr-rrn': ['RRN'],
    'mx-curp': ['CURP'],
    'se-personnummer': ['personnummer'],
    'no-birth-number': ['fødselsnummer'],
    'dk-cpr': ['CPR', 'cpr_nummer'],
    'fi-hetu': ['HETU', 'henkilötunnus'],
    'cn-resident-id': ['身份证', 'id card'],
    'au-tfn': ['TFN', 'tax file number'],
    'za-id': ['ID number'],
    'be-national-number': ['rijksregisternummer'],
    'pt-nif': ['NIF'],
    'sg-nric': ['NRIC'],
    'us-itin': ['ITIN'],
  };
  for (const [name, words] of Object.entries(names)) {
    const made = NATIONAL[name];
    if (made === undefined) continue;
    for (const word of words) {
      write(
        `${word}: «${name}:${made.make(d)}»`,
        `{"${word}":"«${name}:${made.make(d)}»"}`,
        `customer 12, ${word} «${name}:${made.make(d)}», verified`,
      );
    }
  }
}

/** What only looks like something. */
function harmless(d: Draw, write: Write): void {
  for (let n = 0; n < 3; n++) {
    const sha512 = `sha512-${d.base64(86)}==`;
    write(
      `"resolved": "https://registry.example/left-pad/-/left-pad-1.3.0.tgz", "integrity": "${sha512}",`,
      `  resolution: {integrity: ${sha512}}`,
      `left-pad@^1.3.0:\n  version "1.3.0"\n  resolved "https://registry.example/left-pad-1.3.0.tgz#${d.hex(40)}"\n  integrity ${sha512}`,
      `checksum = "${d.hex(64)}"`,
      `github.com/acme/lib v1.4.2 h1:${d.base64(43)}=`,
      `    --hash=sha256:${d.hex(64)} \\`,
      `index ${d.hex(7)}..${d.hex(7)} 100644`,
      `commit ${d.hex(40)}\nAuthor: Ann Lee`,
      `FROM node:22@sha256:${d.hex(64)}`,
      `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${d.base64(43)} ann@laptop`,
      `ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ${d.base64(300)} deploy`,
      `SHA256:${d.base64(43)} no comment (ED25519)`,
      `256 MD5:${(d.hex(32).match(/../g) ?? []).join(':')} root@host (ECDSA)`,
      `-----BEGIN CERTIFICATE-----\nMII${d.base64(61)}\n${d.base64(64)}\n-----END CERTIFICATE-----`,
      `-----BEGIN PUBLIC KEY-----\n${d.base64(64)}\n-----END PUBLIC KEY-----`,
      `background:url(data:image/png;base64,iVBORw0KGgo${d.base64(180)}=)`,
      `<img src="data:image/gif;base64,R0lGODlh${d.base64(120)}">`,
      `//# sourceMappingURL=data:application/json;base64,eyJ2ZXJzaW9uIjozLCJzb3VyY2VzIjpb${d.base64(100)}`,
      `00000010: ${(d.hex(32).match(/..../g) ?? []).join(' ')}  ................`,
      `0x${d.hex(40)} transferred 3 tokens`,
      `tx hash 0x${d.hex(64)}`,
      `{"traceId":"${d.hex(32)}","spanId":"${d.hex(16)}","ts":17${d.digits(11)}}`,
      `request id: ${d.uuid()} took ${d.digits(3)} ms`,
      `order no. ${d.digits(10)} shipped`,
      `invoice INV-2025-${d.digits(6)} is due`,
      `tracking 1Z${d.upperAlnum(16)}`,
      `ISBN 978-3-16-148410-0`,
      `sku ${d.digits(3)}-${d.digits(4)}-${d.digits(2)}`,
      `part number ${d.digits(3)}-${d.digits(3)}-${d.digits(3)}-${d.digits(3)}`,
      `ticket #${d.digits(7)} was closed`,
      `at 2025-11-22 03:14:15.926535 UTC`,
      `[1763781255.${d.digits(6)}] eth0: link up`,
      `nginx/1.25.4.1 build 20240115`,
      `lat=48.8${d.digits(5)}, lon=2.3${d.digits(5)}`,
      `price 1.234.567,89 EUR`,
      `range 10.0.0 - 10.0.9`,
      `v2025.11.22.3`,
      `color:#${d.hex(6)};margin:0 auto;transition:all .2s`,
      `!function(e,t){"object"==typeof exports&&t(exports)}(this,function(e){var n=e.token||e.password;return n});`,
      `const password = await prompt('Password: ');`,
      `if (user.password !== input.password) throw new Error('wrong password');`,
      `password: process.env.DB_PASSWORD,`,
      `token: \${{ secrets.DEPLOY_TOKEN }}`,
      `secret_name = "prod/db/password"`,
      `api_key = os.getenv("API_KEY")`,
      `PASSWORD=\${PASSWORD:?missing}`,
      `"password": "********"`,
      `password: <your-password-here>`,
      `API_KEY=your_api_key_here`,
      `AWS_SECRET_ACCESS_KEY=`,
      `aws_access_key_id = YOUR_ACCESS_KEY`,
      `  at Object.verifyToken (/srv/app/auth/token.js:118:23)`,
      `java.lang.IllegalStateException: no password for user app`,
      `FATAL:  password authentication failed for user "app"`,
      `kubernetes.io/service-account-token`,
      `Received disconnect from port 22: 11: Bye [preauth]`,
      `MAC 3c:22:fb:${d.hex(2)}:${d.hex(2)}:${d.hex(2)} joined`,
      `cron 0 3 * * 1-5 /usr/local/bin/rotate`,
      `SELECT id, email, password_hash FROM users WHERE token = $1`,
      `GRANT SELECT ON secrets TO reader;`,
      `ALTER TABLE users ADD COLUMN password text NOT NULL;`,
      `PK\\003\\004 archive ${d.digits(8)} bytes`,
      `${d.alnum(64)}`,
      `ETag: "${d.hex(32)}"`,
      `X-Request-Id: ${d.hex(32)}`,
      `cache-key: node-modules-${d.hex(64)}`,
      `progress 4111 of 4242 rows, 1111 left, 1111 failed`,
      `pid 4532 vsz 1234567 rss 765432`,
      `imei 49-015420-323751-8`,
      `meeting 9-5-2025 room 12-34`,
      `Lorem ipsum dolor sit amet, consectetur adipiscing elit`,
    );
  }
}

/** The lines of all kinds. */
export function fieldLines(seed: number): LabelledLine[] {
  const d = new Draw(seededRandom(seed));
  const lines: LabelledLine[] = [];
  const write: Write = (...texts) => {
    for (const text of texts) lines.push(marked(text, `field-${lines.length}`));
  };
  tokens(d, write);
  assigned(d, write);
  people(d, write);
  harmless(d, write);
  return lines;
}
