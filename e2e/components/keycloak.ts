/**
 * A real Keycloak for tests, with a realm `test` for OpenID and SAML: people alice (groups dba, oncall) and bob (dev), passwords NAME-secret;
 * clients `gateway` (the console's, with a secret and back-channel logout), `cli` (public: device flow, PKCE), `urn:test:signed` and
 * `urn:test:sealed` (SAML; the second's assertions are encrypted). On loopback, in the clear.
 */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { freePort } from './postgres.ts';

export interface Keycloak {
  /** Issuer of OpenID tokens, and entity id. */
  realm: string;
  /** The certificate that signs assertions, PEM. */
  samlCertificate: string;
  /** Ends every session of a person, as an administrator does. */
  endSessionsOf(person: string): Promise<void>;
  stop(): Promise<void>;
}

export interface KeycloakOptions {
  /** Where the console will be, without a path. */
  consoleUrl: string;
  /** That assertions for `urn:test:sealed` are encrypted to, PEM. */
  encryptionCertificate: string;
}

const startMsMax = 300_000;

export async function startKeycloak(options: KeycloakOptions): Promise<Keycloak> {
  execFileSync(path.join(import.meta.dirname, 'keycloak', 'install.sh'), { stdio: ['ignore', 'inherit', 'inherit'] });
  const program = path.join(import.meta.dirname, '..', '..', '.cache', 'keycloak-26.7.3');
  const dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-keycloak-'));
  // It keeps its database under its home: a home for each instance, with the program shared by links.
  mkdirSync(path.join(dir, 'data', 'import'), { recursive: true });
  for (const part of ['lib', 'providers', 'themes', 'version.txt']) symlinkSync(path.join(program, part), path.join(dir, part));
  cpSync(path.join(program, 'conf'), path.join(dir, 'conf'), { recursive: true });
  writeFileSync(path.join(dir, 'data', 'import', 'test-realm.json'), JSON.stringify(realm(options)));
  const port = await freePort();
  const log = path.join(dir, 'log');
  const out = openSync(log, 'a');
  const opened = ['java.util', 'java.util.concurrent', 'java.security', 'java.lang'].map(
    each => `--add-opens=java.base/${each}=ALL-UNNAMED`,
  );
  const child = spawn(
    'java',
    [
      ...['-Xms64m', '-Xmx512m', '-XX:MaxMetaspaceSize=256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto'],
      ...['-Dfile.encoding=UTF-8', ...opened],
      '-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory',
      ...['-Djava.util.logging.manager=org.jboss.logmanager.LogManager', '-Dpicocli.disable.closures=true'],
      ...[`-Dkc.home.dir=${dir}`, `-Djboss.server.config.dir=${path.join(dir, 'conf')}`, '-cp', path.join(dir, 'lib', 'quarkus-run.jar')],
      ...['io.quarkus.bootstrap.runner.QuarkusEntryPoint', 'start', '--optimized', '--import-realm', '--http-enabled=true'],
      ...['--http-host=127.0.0.1', `--http-port=${port}`, '--hostname-strict=false', '--cache=local'],
    ],
    {
      stdio: ['ignore', out, out],
      env: { ...process.env, KC_BOOTSTRAP_ADMIN_USERNAME: 'admin', KC_BOOTSTRAP_ADMIN_PASSWORD: 'admin-secret' },
    },
  );
  let ended = false;
  const exited = new Promise<void>(resolve => {
    child.once('exit', () => {
      ended = true;
      resolve();
    });
  });
  const stop = async () => {
    if (!ended) child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), 20_000);
    await exited;
    clearTimeout(late);
    rmSync(dir, { recursive: true, force: true });
  };
  const base = `http://127.0.0.1:${port}`;
  const url = `${base}/realms/test`;
  const deadline = Date.now() + startMsMax;
  for (;;) {
    const answer = await fetch(`${url}/.well-known/openid-configuration`).catch(() => null);
    if (answer?.ok) break;
    if (ended || Date.now() > deadline) {
      const tail = readFileSync(log, 'utf8').slice(-3000);
      await stop();
      throw new Error(`Keycloak did not start: ${tail}`);
    }
    await new Promise(resolve => setTimeout(resolve, 200));
  }
  const descriptor = await (await fetch(`${url}/protocol/saml/descriptor`)).text();
  const certificate = /<ds:X509Certificate>([^<]+)</.exec(descriptor)?.[1]?.replace(/\s/g, '') ?? '';
  return {
    realm: url,
    samlCertificate: `-----BEGIN CERTIFICATE-----\n${certificate.replace(/(.{64})/g, '$1\n').trimEnd()}\n-----END CERTIFICATE-----\n`,
    async endSessionsOf(person) {
      const form = { grant_type: 'password', client_id: 'admin-cli', username: 'admin', password: 'admin-secret' };
      const granted = await fetch(`${base}/realms/master/protocol/openid-connect/token`, {
        method: 'POST',
        body: new URLSearchParams(form),
      });
      const { access_token: token } = (await granted.json()) as { access_token: string };
      const headers = { authorization: `Bearer ${token}` };
      const found = await fetch(`${base}/admin/realms/test/users?exact=true&username=${person}`, { headers });
      const [user] = (await found.json()) as { id: string }[];
      const done = await fetch(`${base}/admin/realms/test/users/${user?.id}/logout`, { method: 'POST', headers });
      if (!done.ok) throw new Error(`Keycloak would not end the sessions: ${done.status}`);
    },
    stop,
  };
}

function realm({ consoleUrl, encryptionCertificate }: KeycloakOptions) {
  // Mappers are on the clients: a realm that names client scopes loses the built-in ones.
  const tokens = { 'id.token.claim': 'true', 'access.token.claim': 'true', 'userinfo.token.claim': 'true' };
  const mappers = [
    {
      ...{ name: 'groups', protocol: 'openid-connect', protocolMapper: 'oidc-group-membership-mapper' },
      config: { 'claim.name': 'groups', 'full.path': 'false', ...tokens },
    },
    {
      ...{ name: 'audience', protocol: 'openid-connect', protocolMapper: 'oidc-audience-mapper' },
      config: { 'included.custom.audience': 'sallyport', 'access.token.claim': 'true', 'id.token.claim': 'false' },
    },
  ];
  const saml = (clientId: string, more: Record<string, string>) => ({
    ...{ clientId, protocol: 'saml', enabled: true, redirectUris: [`${consoleUrl}/*`], frontchannelLogout: true },
    attributes: {
      ...{
        saml_assertion_consumer_url_post: `${consoleUrl}/auth/saml`,
        'saml.assertion.signature': 'true',
        'saml.server.signature': 'true',
      },
      ...{ 'saml.client.signature': 'false', 'saml.force.post.binding': 'true', 'saml.authnstatement': 'true' },
      ...{ saml_name_id_format: 'email', saml_force_name_id_format: 'true', 'saml.signature.algorithm': 'RSA_SHA256', ...more },
    },
    protocolMappers: [
      {
        ...{ name: 'groups', protocol: 'saml', protocolMapper: 'saml-group-membership-mapper' },
        config: { 'attribute.name': 'groups', 'attribute.nameformat': 'Basic', single: 'true', 'full.path': 'false' },
      },
    ],
  });
  const person = (name: string, groups: string[]) => ({
    ...{ username: name, enabled: true, email: `${name}@example.test`, emailVerified: true, firstName: name, lastName: 'Test', groups },
    realmRoles: ['default-roles-test'],
    credentials: [{ type: 'password', value: `${name}-secret` }],
  });
  return {
    ...{ realm: 'test', enabled: true, sslRequired: 'none', oauth2DevicePollingInterval: 1 },
    groups: ['dba', 'oncall', 'dev'].map(name => ({ name })),
    clients: [
      {
        ...{ clientId: 'gateway', secret: 'gateway-secret', publicClient: false, standardFlowEnabled: true },
        ...{ redirectUris: [`${consoleUrl}/auth/callback`], protocolMappers: mappers },
        attributes: {
          ...{ 'pkce.code.challenge.method': 'S256', 'post.logout.redirect.uris': `${consoleUrl}/` },
          ...{ 'backchannel.logout.url': `${consoleUrl}/auth/backchannel-logout`, 'backchannel.logout.session.required': 'true' },
        },
      },
      {
        ...{
          clientId: 'cli',
          publicClient: true,
          standardFlowEnabled: true,
          redirectUris: ['http://127.0.0.1/*'],
          protocolMappers: mappers,
        },
        attributes: { 'oauth2.device.authorization.grant.enabled': 'true', 'pkce.code.challenge.method': 'S256' },
      },
      saml('urn:test:signed', {}),
      saml('urn:test:sealed', {
        'saml.encrypt': 'true',
        'saml.encryption.certificate': encryptionCertificate.replace(/-----[A-Z ]+-----|\s/g, ''),
        'saml.encryption.algorithm': 'http://www.w3.org/2009/xmlenc11#aes256-gcm',
        'saml.encryption.keyAlgorithm': 'http://www.w3.org/2009/xmlenc11#rsa-oaep',
        'saml.encryption.digestMethod': 'http://www.w3.org/2001/04/xmlenc#sha256',
        'saml.encryption.maskGenerationFunction': 'http://www.w3.org/2009/xmlenc11#mgf1sha256',
      }),
    ],
    users: [person('alice', ['dba', 'oncall']), person('bob', ['dev'])],
  };
}
