import { type LoadedConfig, type LoadOptions, loadConfig } from '../../../src/config/load.ts';
import { redisUrlFault } from '../../../src/redis/url.ts';

export const SECRET = 'a-development-secret-of-32-bytes!';
export const API_KEY = 'service-key-of-24-bytes!';
export const PRODUCTION = { NODE_ENV: 'production', JWT_SECRET: SECRET, LINGXI_API_KEY: API_KEY };

/** The sources of the configuration in a test. */
export interface Setup {
  readonly env?: Record<string, string | undefined>;
  readonly files?: Record<string, string>;
  readonly secretStore?: LoadOptions['secretStore'];
}

export function load({ env = {}, files = {}, secretStore }: Setup) {
  return loadConfig({
    env,
    cwd: '/srv/game',
    hostname: 'node-7',
    readFile: (path) => files[path],
    redisUrlFault,
    ...(secretStore === undefined ? {} : { secretStore }),
  });
}

export function loaded(setup: Setup): LoadedConfig {
  const result = load(setup);
  if (!result.ok) throw new Error(result.error.message);
  return result.value;
}

/** Why the configuration is refused, in one sentence. */
export function refusal(setup: Setup): string {
  const result = load(setup);
  return result.ok ? 'accepted' : result.error.message;
}
