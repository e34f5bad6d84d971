import { resolve } from 'node:path';
import { err, ok, type Result } from '../lib/result.ts';
import type { Config } from './config.ts';
import { findContradiction } from './contradictions.ts';
import type { SecretName, SecretStore } from './development-secrets.ts';
import { type DefaultContext, isDevelopment } from './key.ts';
import { FIELDS, KEYS } from './keys.ts';
import { type Notice, noticesOf } from './notices.ts';
import { maskSecrets } from './shown-url.ts';
import { type ConfigError, type Lookup, openSources, type SourceOptions } from './sources.ts';

export interface LoadOptions extends SourceOptions {
  /** Name of this host, used as the default of `LINGXI_NODE_NAME`. Default: `localhost`. */
  readonly hostname?: string;
  /**
   * The fault of a `REDIS_URL`; undefined if it is usable. Passed in, because modules at the same level do not import each other.
   */
  readonly redisUrlFault: (url: string) => string | undefined;
  /** `stores`: the keys for credentials may be missing. Default: `everything`. */
  readonly needs?: 'everything' | 'stores';
  /** The place of development secrets. Without it, missing secrets stay missing. */
  readonly secretStore?: SecretStore;
}

export interface NewSecret {
  readonly variable: string;
  readonly value: string;
  readonly path: string;
}

export interface LoadedConfig {
  readonly config: Config;
  /** The notices that the start prints. */
  readonly notices: readonly Notice[];
  /** The source of each value: `environment`, `.env`, a file, `profile seed`, `default`. */
  readonly origins: ReadonlyMap<keyof Config, string>;
  /** Secrets that this call made. They are shown to a terminal once. */
  readonly newSecrets: readonly NewSecret[];
  /** The file of each secret that development keeps in the data folder. */
  readonly secretFiles: ReadonlyMap<'jwtSecrets' | 'apiKeys', string>;
}

/** Values before all are known. They get their types at the end, when every field is present. */
interface Draft {
  readonly values: Partial<Record<keyof Config, unknown>>;
  readonly given: Set<keyof Config>;
  readonly seeded: Set<keyof Config>;
  readonly origins: Map<keyof Config, string>;
  readonly newSecrets: NewSecret[];
  readonly secretFiles: Map<'jwtSecrets' | 'apiKeys', string>;
}

/**
 * Reads the configuration from the environment, `.env` and the file that `LINGXI_CONFIG` names. The first source with a value
 * wins. An unknown name, an invalid value or a contradiction gives one sentence.
 */
export function loadConfig(options: LoadOptions): Result<LoadedConfig, ConfigError> {
  const sources = openSources(options);
  if (!sources.ok) return sources;
  const draft: Draft = {
    values: {},
    given: new Set(),
    seeded: new Set(),
    origins: new Map(),
    newSecrets: [],
    secretFiles: new Map(),
  };
  const failure = readGiven(draft, sources.value) ?? fillDefaults(draft, options);
  if (failure !== undefined) return err(failure);
  // Every field of KEYS was filled, and KEYS has every field of Config.
  const config = draft.values as unknown as Config;
  const contradiction = findContradiction(config, {
    given: draft.given,
    needs: options.needs ?? 'everything',
    redisUrlFault: options.redisUrlFault,
  });
  if (contradiction !== undefined) return err({ message: contradiction });
  return ok({
    config,
    notices: noticesOf(config, draft.seeded),
    origins: draft.origins,
    newSecrets: draft.newSecrets,
    secretFiles: draft.secretFiles,
  });
}

function readGiven(draft: Draft, lookup: Lookup): ConfigError | undefined {
  for (const field of FIELDS) {
    const key = KEYS[field];
    const found = lookup(key.variable, key.secret === true);
    if (!found.ok) return found.error;
    if (found.value === undefined) continue;
    const value = key.kind.parse(found.value.text);
    if (value === undefined) {
      const seen = key.secret === true ? '' : `, not ${quoted(found.value.text)}`;
      return { message: `${found.value.variable} must be ${plain(key.kind.expects)}${seen}.` };
    }
    draft.values[field] = value;
    draft.given.add(field);
    draft.origins.set(field, found.value.origin);
  }
  return undefined;
}

function fillDefaults(draft: Draft, options: LoadOptions): ConfigError | undefined {
  const given = draft.values as Partial<Config>;
  const context: DefaultContext = {
    environment: given.environment ?? 'development',
    given,
    hostname: options.hostname ?? 'localhost',
  };
  const isSeed = given.profile === 'seed';
  for (const field of FIELDS) {
    if (draft.given.has(field)) continue;
    const key = KEYS[field];
    if (isSeed && key.seed !== undefined && key.seed.only?.when(context) !== false) {
      draft.values[field] = key.seed.value;
      draft.seeded.add(field);
      draft.origins.set(field, 'profile seed');
    } else {
      draft.values[field] = key.defaultValue(context);
      draft.origins.set(field, 'default');
    }
  }
  const dataDir = resolve(options.cwd, String(draft.values.dataDir));
  draft.values.dataDir = dataDir;
  const store = options.secretStore;
  if (!isDevelopment(context.environment) || store === undefined) return undefined;
  const hasForeignKey = given.jwtPublicKey !== undefined || given.jwtJwksUrl !== undefined;
  return (
    (hasForeignKey
      ? undefined
      : takeSecret(draft, { store, dataDir, field: 'jwtSecrets', name: 'jwt-secret' })) ??
    takeSecret(draft, { store, dataDir, field: 'apiKeys', name: 'api-key' })
  );
}

function takeSecret(
  draft: Draft,
  wanted: { store: SecretStore; dataDir: string; field: 'jwtSecrets' | 'apiKeys'; name: SecretName },
): ConfigError | undefined {
  if (draft.given.has(wanted.field)) return undefined;
  const secret = wanted.store.obtain(wanted.name, wanted.dataDir);
  if (!secret.ok) return secret.error;
  if (secret.value === undefined) return undefined;
  const { value, path, isNew } = secret.value;
  draft.values[wanted.field] = [value];
  draft.origins.set(wanted.field, `file ${path}`);
  draft.secretFiles.set(wanted.field, path);
  if (isNew) draft.newSecrets.push({ variable: KEYS[wanted.field].variable, value, path });
  return undefined;
}

function quoted(text: string): string {
  const shown = maskSecrets(text);
  const short = shown.length > 80 ? `${shown.slice(0, 80)}…` : shown;
  return JSON.stringify(short);
}

/** Without the backquotes of the reference, for a terminal. */
function plain(expects: string): string {
  return expects.replaceAll('`', '');
}
