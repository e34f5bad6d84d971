import type { Config } from './config.ts';
import { MIN_JWT_SECRET_BYTES } from './contradictions.ts';
import { FIELDS, KEYS } from './keys.ts';

/** A setting that is said at start, with what it risks. */
export interface Notice {
  readonly variable: string;
  /** As it may be shown: never a secret. */
  readonly value: string;
  readonly risk: string;
}

const MIN_API_KEY_BYTES = 16;

/** Everything in `config` that deserves a warning at start. `seeded` holds the fields that the profile set. */
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
  }
  return notices;
}

/** Risks that were chosen by hand; in development the relaxed defaults need no word. */
function chosenRisks(config: Config, seeded: ReadonlySet<keyof Config>): Notice[] {
  const notices: Notice[] = [];
  const risky = (field: keyof Config, value: string, risk: string): void => {
    if (!seeded.has(field)) notices.push({ variable: KEYS[field].variable, value, risk });
  };
  if (config.legacyOpenApi) {
    risky('legacyOpenApi', 'true', KEYS.legacyOpenApi.seed?.risk ?? '');
  }
  if (config.environment !== 'production') return notices;
  if (config.queryToken) risky('queryToken', 'true', KEYS.queryToken.seed?.risk ?? '');
  if (config.allowedOrigins === 'any') {
    risky('allowedOrigins', '*', 'any page on the web may connect with the visitor’s token');
  }
  if (config.apiKeys.some((key) => Buffer.byteLength(key) < MIN_API_KEY_BYTES)) {
    risky('apiKeys', `shorter than ${MIN_API_KEY_BYTES} bytes`, 'a short service key can be guessed');
  }
  return notices;
}
