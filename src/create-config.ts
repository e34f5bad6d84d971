import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { Config } from './config/config.ts';
import { fileSecretStore } from './config/development-secrets.ts';
import { readGivenConfig } from './config/given-config.ts';
import { type LoadedConfig, loadConfig as loadFrom } from './config/load.ts';
import { readTextFile } from './config/read-text-file.ts';
import type { ConfigError } from './config/sources.ts';
import { type Clock, systemClock } from './lib/clock.ts';
import { err, ok, type Result } from './lib/result.ts';
import type { Log } from './logging/log.ts';
import { createLog } from './logging/pino-log.ts';
import { redisUrlFault } from './redis/url.ts';

/** The configuration that a program passes. */
export type GatewayConfig = Partial<Config> | LoadedConfig | Result<LoadedConfig, ConfigError>;

export interface GatewayOptions {
  /**
   * The result of {@link loadConfig}, failed or not; or some fields, which the defaults complete. With fields, `NODE_ENV` is the
   * only variable that counts, so that a program in production does not run a gateway in development.
   */
  readonly config: GatewayConfig;
  /** Default: JSON lines on standard output, as `lingxi serve` writes them. */
  readonly log?: Log;
  readonly clock?: Clock;
  /**
   * Ends the process at once, for `POST /dev/kill` of the demo page. Without this function, and outside development, that route
   * does not exist.
   */
  readonly kill?: () => void;
}

export interface LoadConfigOptions {
  /** Default: the environment of this process. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The folder of `.env` and of relative paths. Default: the working directory. */
  readonly cwd?: string;
}

/**
 * Reads the configuration as `lingxi serve` does: environment, `.env`, and the file that `LINGXI_CONFIG` names. In development it
 * creates missing secrets and keeps them in the data folder.
 */
export function loadConfig(options: LoadConfigOptions = {}): Result<LoadedConfig, ConfigError> {
  return loadFrom({
    env: options.env ?? process.env,
    cwd: options.cwd ?? process.cwd(),
    hostname: hostname(),
    readFile: readTextFile,
    secretStore: fileSecretStore(randomBytes),
    redisUrlFault,
  });
}

export interface GatewayCall {
  readonly config: Config;
  /** The source of each value, as the loader reports it. */
  readonly origins: ReadonlyMap<keyof Config, string>;
  readonly log: Log;
  readonly clock: Clock;
  readonly kill: (() => void) | undefined;
}

/** Reads the options of a program, which may lack type checks. A fault gives one sentence. */
export function readGatewayOptions(options: GatewayOptions | undefined): Result<GatewayCall, ConfigError> {
  if (!isObject(options) || !isObject(options.config)) {
    return err({
      message:
        'createGateway needs a configuration: pass { config: loadConfig() }, or fields as in { config: { port: 3000 } }.',
    });
  }
  const { log, clock, kill } = options;
  if (log !== undefined && !hasMethods(log, LOG_METHODS))
    return err({ message: `The log of createGateway must have the methods ${LOG_METHODS.join(', ')}.` });
  if (clock !== undefined && !hasMethods(clock, CLOCK_METHODS))
    return err({ message: `The clock of createGateway must have the methods ${CLOCK_METHODS.join(', ')}.` });
  if (kill !== undefined && typeof kill !== 'function')
    return err({ message: 'The kill of createGateway must be a function.' });
  const config = readConfig(options.config);
  if (!config.ok) return config;
  const { origins } = config.value;
  return ok({
    config: config.value.config,
    origins,
    log: log ?? createLog({ level: config.value.config.logLevel }),
    clock: clock ?? systemClock(),
    kill,
  });
}

const LOG_METHODS = ['debug', 'info', 'warn', 'error'];
const CLOCK_METHODS = ['now', 'monotonic', 'after', 'every', 'defer'];

function readConfig(given: GatewayConfig): Result<Pick<LoadedConfig, 'config' | 'origins'>, ConfigError> {
  if ('ok' in given) return given.ok ? ok(given.value) : given;
  if ('origins' in given) return ok(given);
  const fields = readGivenConfig(given);
  if (!fields.ok) return fields;
  const { variables, asIs } = fields.value;
  const env = { NODE_ENV: process.env['NODE_ENV'], ...variables };
  // Reads no file: a .env beside the program may belong to other software.
  const completed = loadFrom({
    env,
    cwd: process.cwd(),
    hostname: hostname(),
    readFile: () => undefined,
    secretStore: fileSecretStore(randomBytes),
    redisUrlFault,
  });
  if (!completed.ok) return completed;
  return ok({
    config: { ...completed.value.config, ...asIs },
    origins: originsOf(completed.value, Object.keys(asIs)),
  });
}

/** The fields that the program set count as if they were variables. */
function originsOf({ origins }: LoadedConfig, asIs: readonly string[]): ReadonlyMap<keyof Config, string> {
  const byProgram = new Set(asIs);
  return new Map(
    [...origins].map(([field, origin]) => [
      field,
      origin === 'environment' || byProgram.has(field) ? 'program' : origin,
    ]),
  );
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function hasMethods(value: object, names: readonly string[]): boolean {
  return isObject(value) && names.every((name) => typeof Reflect.get(value, name) === 'function');
}
