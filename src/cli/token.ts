import { Command, InvalidArgumentError } from 'commander';
import type { Config } from '../config/config.ts';
import { createCredentials } from '../gateway/token-credentials.ts';
import { silentLog } from '../logging/log.ts';
import { parseUserId } from '../protocol/user-id.ts';
import { type Cli, configOrFail, fail } from './cli.ts';

interface TokenOptions {
  readonly user: number;
  readonly name?: string;
  readonly expiresIn?: number;
}

const DEFAULT_LIFE_S = 86_400;

export function tokenCommand(cli: Cli): Command {
  return new Command('token')
    .description('Sign a user token with the configured (or the development) secret.')
    .requiredOption('--user <id>', 'user id', userIdArgument)
    .option('--name <name>', 'user name that the token carries')
    .option('--expires-in <seconds>', `life of the token, default ${DEFAULT_LIFE_S}`, secondsArgument)
    .addHelpText('after', '\nExample:\n  lingxi token --user 42 --name 云中子 --expires-in 3600')
    .action((options: TokenOptions) => {
      const loaded = configOrFail(cli, ['jwt-secret']);
      if (loaded === undefined) return;
      const token = signToken(cli, loaded.config, options);
      if (token === undefined) fail(cli, NO_SECRET);
      else cli.out(token);
    });
}

export const NO_SECRET = 'JWT_SECRET is not set here, so no token can be signed: set it, or pass a token.';

/** A token signed with the first secret of `config`, or `undefined` without a secret. */
export function signToken(cli: Cli, config: Config, options: TokenOptions): string | undefined {
  if (config.jwtSecrets.length === 0) return undefined;
  return createCredentials({ config, clock: cli.clock, log: silentLog }).signUser({
    userId: options.user,
    expiresInS: options.expiresIn ?? DEFAULT_LIFE_S,
    ...(options.name === undefined ? {} : { name: options.name }),
  });
}

/** Parses a user id given on the command line. */
export function userIdArgument(text: string): number {
  const id = parseUserId(text);
  if (id === undefined) throw new InvalidArgumentError('It must be an unsigned integer below 2^53.');
  return id;
}

/** Parses a positive number of seconds given on the command line. */
export function secondsArgument(text: string): number {
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number of seconds.');
  return Number(text);
}
