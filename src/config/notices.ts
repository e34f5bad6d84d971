import type { Config } from './config.ts';
import { MIN_JWT_SECRET_BYTES } from './contradictions.ts';
import { FIELDS, KEYS } from './keys.ts';
import { isGuessable } from './secret-strength.ts';
import { placeOf } from './shown-url.ts';

/** A setting that the start prints with its risk. */
export interface Notice {
  readonly variable: string;
  /** The value in a form that is safe to show: never a secret. */
  readonly value: string;
  readonly risk: string;
}

/** A trusted range with a shorter prefix is larger than the network of one operator. */
const MIN_TRUSTED_BITS = { ipv4: 8, ipv6: 16 };
const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[?::1\]?)$/i;

/** Everything in `config` that needs a warning at start. `seeded` has the fields that the profile set. */
export function noticesOf(config: Config, seeded: ReadonlySet<keyof Config>): readonly Notice[] {
  const notices: Notice[] = [];
  for (const field of FIELDS) {
    const key = KEYS[field];
    if (seeded.has(field) && key.seed !== undefined) {
      notices.push({ variable: key.variable, value: String(config[field]), risk: key.seed.risk });
    }
  }
  if (config.profile === 'seed') notices.push(...seedNotices(config));
  notices.push(...chosenRisks(config, seeded));
  if (config.redisUrl !== undefined && config.databaseUrl === undefined) {
    notices.push({
      variable: 'REDIS_URL',
      value: `${placeOf(config.redisUrl)} without DATABASE_URL`,
      risk: 'every node settles into its own file, so that several nodes write one logout twice; production refuses to start this way',
    });
  }
  return notices;
}

function seedNotices(config: Config): Notice[] {
  const notices: Notice[] = [
    {
      variable: 'LINGXI_PROFILE',
      value: 'seed',
      risk: 'logout of a user who is known to be offline answers 200, so a caller cannot tell it from a real logout',
    },
  ];
  if (config.jwtSecrets.some((secret) => Buffer.byteLength(secret) < MIN_JWT_SECRET_BYTES)) {
    notices.push({
      variable: 'JWT_SECRET',
      value: `shorter than ${MIN_JWT_SECRET_BYTES} bytes`,
      risk: 'a short secret can be guessed from one token, and then anyone can be impersonated',
    });
  } else if (config.jwtSecrets.some(isGuessable)) {
    notices.push({
      variable: 'JWT_SECRET',
      value: 'a few characters again and again',
      risk: 'such a secret can be guessed from one token, and then anyone can be impersonated',
    });
  }
  return notices;
}

/** Risks that the operator chose explicitly. The relaxed defaults of development need no warning. */
function chosenRisks(config: Config, seeded: ReadonlySet<keyof Config>): Notice[] {
  const notices: Notice[] = [];
  const risky = (field: keyof Config, value: string, risk: string): void => {
    if (!seeded.has(field)) notices.push({ variable: KEYS[field].variable, value, risk });
  };
  if (config.legacyOpenApi) {
    risky('legacyOpenApi', 'true', KEYS.legacyOpenApi.seed?.risk ?? '');
  }
  if (config.environment !== 'production') {
    if (!LOOPBACK_HOST.test(config.host)) {
      risky(
        'host',
        config.host,
        `this is ${config.environment} mode on an address that others reach: any page may connect, tokens are taken from addresses, and metrics are open; set NODE_ENV=production`,
      );
    }
    return notices;
  }
  if (config.queryToken) risky('queryToken', 'true', KEYS.queryToken.seed?.risk ?? '');
  if (config.allowedOrigins === 'any') {
    risky('allowedOrigins', '*', 'any page on the web may connect with the visitor’s token');
  }
  if (config.jwtJwksUrl !== undefined && isReadableOnTheWay(config.jwtJwksUrl)) {
    const risk =
      'anyone between this node and the key server can insert a key, and then impersonate any user';
    risky('jwtJwksUrl', placeOf(config.jwtJwksUrl), risk);
  }
  const wide = config.trustedProxies.filter(isWide);
  if (wide.length > 0) {
    const risk =
      'any client in this range can claim to have whatever address it likes, and so evade every limit by address';
    risky('trustedProxies', wide.join(','), risk);
  }
  return notices;
}

function isReadableOnTheWay(address: string): boolean {
  const { protocol, hostname } = new URL(address);
  const isLoopback = hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.');
  return protocol === 'http:' && !isLoopback;
}

function isWide(range: string): boolean {
  const [address = '', bits = ''] = range.split('/');
  // A network of IPv4 addresses in IPv6 form.
  if (/^::ffff:/i.test(address)) return Number(bits) - 96 < MIN_TRUSTED_BITS.ipv4;
  return Number(bits) < (address.includes(':') ? MIN_TRUSTED_BITS.ipv6 : MIN_TRUSTED_BITS.ipv4);
}
