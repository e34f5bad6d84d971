import type { Config } from './config.ts';
import { isGuessable } from './secret-strength.ts';

/** RFC 7518 section 3.2: a key of the same size as the hash output or larger. */
export const MIN_JWT_SECRET_BYTES = 32;
/** The shortest service key and view key in production. */
const MIN_API_KEY_BYTES = 24;

const OWN_TABLES = ['lingxi_periods', 'lingxi_nodes'];

export interface ContradictionOptions {
  /** The fields that a source set. */
  readonly given: ReadonlySet<keyof Config>;
  /** A command that needs only the stores does not need keys. */
  readonly needs: 'everything' | 'stores';
  /** The fault of a `REDIS_URL`, or undefined if it is valid. */
  readonly redisUrlFault: (url: string) => string | undefined;
}

/** Contradictions between settings. Each refuses the start. */
export function findContradiction(config: Config, options: ContradictionOptions): string | undefined {
  const { given, needs, redisUrlFault } = options;
  return (
    (needs === 'everything' ? credentialContradiction(config) : undefined) ??
    timingContradiction(config) ??
    (config.redisUrl === undefined ? undefined : redisUrlFault(config.redisUrl)) ??
    storesContradiction(config) ??
    tableContradiction(config, given)
  );
}

function credentialContradiction(config: Config): string | undefined {
  const missing = config.environment === 'production' ? missingCredential(config) : undefined;
  if (missing !== undefined) return missing;
  const weak = config.jwtSecrets.some((secret) => Buffer.byteLength(secret) < MIN_JWT_SECRET_BYTES);
  if (weak && config.profile !== 'seed') {
    return `JWT_SECRET must have at least ${MIN_JWT_SECRET_BYTES} bytes: make one with "openssl rand -base64 48".`;
  }
  if (config.apiKeys.some((key) => config.jwtSecrets.includes(key))) {
    return 'LINGXI_API_KEY is the same as JWT_SECRET: anyone with the service key could sign tokens; set two different ones.';
  }
  if (config.viewKeys.some((key) => config.apiKeys.includes(key))) {
    return 'LINGXI_VIEW_KEY is the same as LINGXI_API_KEY: a reader of the dashboard could change everything; set two different keys.';
  }
  if (config.viewKeys.some((key) => config.jwtSecrets.includes(key))) {
    return 'LINGXI_VIEW_KEY is the same as JWT_SECRET: anyone with the view key could sign tokens; set two different ones.';
  }
  return config.environment === 'production' ? guessableCredential(config) : undefined;
}

function missingCredential(config: Config): string | undefined {
  const hasKey =
    config.jwtSecrets.length > 0 || config.jwtPublicKey !== undefined || config.jwtJwksUrl !== undefined;
  if (!hasKey) {
    return 'JWT_SECRET is missing: with NODE_ENV=production set JWT_SECRET, JWT_PUBLIC_KEY or JWT_JWKS_URL.';
  }
  return config.apiKeys.length === 0
    ? 'LINGXI_API_KEY is missing: with NODE_ENV=production set it to a long random text.'
    : undefined;
}

/** Development may use short and simple secrets. The profile `seed` has its own notice for them. */
function guessableCredential(config: Config): string | undefined {
  const weakKey =
    weakKeyOf('LINGXI_API_KEY', config.apiKeys) ?? weakKeyOf('LINGXI_VIEW_KEY', config.viewKeys);
  if (weakKey !== undefined) return weakKey;
  if (config.profile !== 'seed' && config.jwtSecrets.some(isGuessable)) {
    return 'JWT_SECRET can be guessed, for it repeats a few characters: make one with "openssl rand -base64 48".';
  }
  return undefined;
}

function weakKeyOf(variable: string, keys: readonly string[]): string | undefined {
  if (keys.some((key) => Buffer.byteLength(key) < MIN_API_KEY_BYTES)) {
    return `${variable} must have at least ${MIN_API_KEY_BYTES} bytes with NODE_ENV=production: make one with "openssl rand -base64 32".`;
  }
  return keys.some(isGuessable)
    ? `${variable} can be guessed, for it repeats a few characters: make one with "openssl rand -base64 32".`
    : undefined;
}

function storesContradiction(config: Config): string | undefined {
  if (config.environment !== 'production') return undefined;
  return config.redisUrl !== undefined && config.databaseUrl === undefined
    ? 'REDIS_URL is set without DATABASE_URL: every node would settle into its own file; with NODE_ENV=production set DATABASE_URL as well.'
    : undefined;
}

function timingContradiction(config: Config): string | undefined {
  if (config.pingIntervalMs >= config.heartbeatTimeoutMs) {
    return `LINGXI_PING_INTERVAL_MS (${config.pingIntervalMs}) must be shorter than LINGXI_HEARTBEAT_TIMEOUT_MS (${config.heartbeatTimeoutMs}): a client could not answer in time.`;
  }
  return undefined;
}

function tableContradiction(config: Config, given: ReadonlySet<keyof Config>): string | undefined {
  if (config.usersTable === 'none') {
    return config.unknownUsers !== 'ignore' && given.has('unknownUsers')
      ? `LINGXI_UNKNOWN_USERS=${config.unknownUsers} needs a users table, but LINGXI_USERS_TABLE is none: unset one of them.`
      : undefined;
  }
  if (OWN_TABLES.includes(config.usersTable.split('.').at(-1) ?? '')) {
    return `LINGXI_USERS_TABLE must not be ${config.usersTable}: that table is Lingxi's own; name the table of your users.`;
  }
  if (config.usersIdColumn === config.usersTimeColumn) {
    return 'LINGXI_USERS_TIME_COLUMN must not be the same as LINGXI_USERS_ID_COLUMN: name the column of the logout time.';
  }
  return undefined;
}
