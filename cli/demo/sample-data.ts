/**
 * The sample company's rows: customers, orders, logins, secrets and support tickets, all invented here at run time from a
 * seed. Nothing that looks like a key or a card stands in the source, so secret scanners have nothing to find in it; what
 * it makes has the real shapes and check digits, so that Sallyport's detectors do.
 */
import { createHmac, createPrivateKey } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { SeededRandom } from './random.ts';

export interface SampleData {
  customers: Record<string, string | number>[];
  orders: Record<string, string | number>[];
  app_users: Record<string, string | number>[];
  app_secrets: Record<string, string | number>[];
  support_tickets: Record<string, string | number>[];
}

const UPPER = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
const LOWER = UPPER.toLowerCase();
const DIGITS = '0123456789';
const BASE62 = DIGITS + UPPER + LOWER;

const FIRST_NAMES =
  'Ada Alan Amara Anita Bruno Chen Clara Dario Dina Elif Emma Farid Femi Grace Hana Hugo Ines Ivan Jonas Kofi Lena Liam Lucia Maya Mei Milan Nadia Noah Olga Omar Paula Priya Rosa Samir Sofia Tariq Tomas Uma Vera Yusuf Zoe'.split(
    ' ',
  );
const LAST_NAMES =
  'Abe Adler Bauer Berg Castro Chandra Costa Dubois Eriksen Fischer Garcia Haddad Hansen Ito Jansen Kaya Keller Klein Kowalski Larsen Lopez Mensah Moreau Nakamura Novak Okafor Olsen Park Pereira Quinn Rossi Roy Santos Sato Silva Singh Tanaka Torres Usman Vega Weber Yilmaz Zhang'.split(
    ' ',
  );
const CITIES = ['Amsterdam', 'Austin', 'Berlin', 'Boston', 'Chicago', 'Denver', 'Lagos', 'Lisbon', 'Oslo', 'Paris', 'Porto', 'Seattle'];
const ITEMS = ['Desk lamp', 'Standing desk', 'Office chair', 'Monitor arm', 'Notebook, set of 3', 'Fountain pen', 'Headphones', 'Webcam'];
const STATUSES = ['paid', 'paid', 'paid', 'shipped', 'shipped', 'returned', 'open'];
const MAIL_DOMAINS = ['example.com', 'example.org', 'example.net'];

/**
 * Makes the whole data set.
 *
 * @param databasePassword the gateway's own password for the sample database. It is put among the stored secrets, because
 *   that is where such passwords turn up in real life: the `known-credentials` detector has to find it.
 */
export function sampleData(databasePassword: string): SampleData {
  const random = new SeededRandom(20_260_401);
  const customers = Array.from({ length: 2000 }, (_, index) => customer(random, index + 1));
  const orders = Array.from({ length: 6000 }, (_, index) => ({
    id: index + 1,
    customer_id: random.between(1, customers.length),
    item: random.pick(ITEMS),
    amount: `${random.between(9, 899)}.${String(random.between(0, 99)).padStart(2, '0')}`,
    currency: random.pick(['EUR', 'EUR', 'USD', 'GBP']),
    status: random.pick(STATUSES),
    ordered_at: instant(random),
  }));
  const appUsers = Array.from({ length: 150 }, (_, index) => {
    const person = customers[index];
    return {
      id: index + 1,
      username: String(person?.email ?? index).split('@')[0] ?? '',
      email: String(person?.email ?? ''),
      password: `$2b$12$${random.text(53, `./${BASE62}`)}`,
      last_login_at: instant(random),
    };
  });
  const secrets: [string, string][] = [
    ['aws access key id', awsAccessKey(random)],
    ['aws secret access key', `aws_secret_access_key = ${random.text(40, `${BASE62}+/`)}`],
    ['github deploy token', githubToken(random)],
    ['github package token', githubToken(random)],
    ['payments api key', ['sk', 'live', random.text(24, BASE62)].join('_')],
    ['webhook signing key', privateKey(random)],
    ['internal service token', jwt(random)],
    ['crm database password', databasePassword],
    ['crm database url', `postgresql://crm_app:${encodeURIComponent(databasePassword)}@crm.internal:5432/crm`],
    ['feature flags', '{"new_checkout": true, "dark_mode": false}'],
  ];
  return {
    customers,
    orders,
    app_users: appUsers,
    app_secrets: secrets.map(([name, value], index) => ({
      id: index + 1,
      name,
      environment: index % 3 === 2 ? 'staging' : 'production',
      value,
      rotated_at: instant(random),
    })),
    support_tickets: Array.from({ length: 800 }, (_, index) => ticket(random, index + 1, random.pick(customers))),
  };
}

function customer(random: SeededRandom, id: number): Record<string, string | number> {
  const first = random.pick(FIRST_NAMES);
  const last = random.pick(LAST_NAMES);
  return {
    id,
    name: `${first} ${last}`,
    email: `${first}.${last}${id}@${random.pick(MAIL_DOMAINS)}`.toLowerCase(),
    // 555-0100 to 555-0199 are kept free for fiction by the North American Numbering Plan.
    phone: `+1 ${random.pick(['206', '312', '415', '512', '617'])} 555 01${String(random.between(0, 99)).padStart(2, '0')}`,
    us_ssn: `${random.between(101, 649)}-${String(random.between(1, 99)).padStart(2, '0')}-${String(random.between(1, 9999)).padStart(4, '0')}`,
    card_number: paymentCard(random),
    city: random.pick(CITIES),
    created_at: instant(random),
  };
}

function ticket(random: SeededRandom, id: number, author: Record<string, string | number>): Record<string, string | number> {
  const [subject, body] = random.pick([
    ['Where is my order?', `It has been two weeks. Please write to me at ${author.email}, I do not read the portal.`],
    ['Charged twice', `My card ${author.card_number} was charged twice for one chair. I want one of them back.`],
    ['Change of address', `I moved to ${author.city}. My number is now ${author.phone}.`],
    ['Invoice', `Could you send the invoice again, to ${author.email} and to accounting@example.com?`],
    ['Great lamp', 'No question, just thanks. It is the best lamp that I have had in years.'],
    ['Cannot sign in', 'The reset mail never comes. I looked in the spam folder as well.'],
  ] as const);
  return { id, customer_id: author.id ?? 0, subject, body, opened_at: instant(random) };
}

/** A moment of 2025, in ISO 8601. */
function instant(random: SeededRandom): string {
  return new Date(Date.UTC(2025, 0, 1) + random.between(0, 364 * 24 * 3600) * 1000).toISOString();
}

/** A card number in Visa's range with a right check digit (ISO/IEC 7812-1, Luhn), in groups of four. */
function paymentCard(random: SeededRandom): string {
  const digits = `4${random.text(14, DIGITS)}`;
  let sum = 0;
  for (const [index, digit] of digits.split('').entries()) {
    const doubled = Number(digit) * (index % 2 === 0 ? 2 : 1);
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return `${digits}${(10 - (sum % 10)) % 10}`.replace(/(\d{4})(?=\d)/g, '$1 ');
}

function awsAccessKey(random: SeededRandom): string {
  return ['AK', 'IA', random.text(16, `${UPPER}234567`)].join('');
}

/** GitHub's format: 30 random characters, then their CRC-32 in six base-62 digits. */
function githubToken(random: SeededRandom): string {
  const entropy = random.text(30, BASE62);
  let checksum = '';
  for (let rest = crc32(entropy); checksum.length < 6; rest = Math.floor(rest / 62)) checksum = BASE62[rest % 62] + checksum;
  return ['gh', 'p_', entropy, checksum].join('');
}

/** An Ed25519 private key in PEM (RFC 8410), from seeded bytes instead of the system's randomness. */
function privateKey(random: SeededRandom): string {
  const header = Buffer.from('302e020100300506032b657004220420', 'hex');
  const key = createPrivateKey({ key: Buffer.concat([header, random.bytes(32)]), format: 'der', type: 'pkcs8' });
  return key.export({ format: 'pem', type: 'pkcs8' }).toString().trim();
}

function jwt(random: SeededRandom): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: 'orders-service', scope: 'internal', exp: 1_893_456_000 })}`;
  return `${signed}.${createHmac('sha256', random.bytes(32)).update(signed).digest('base64url')}`;
}
