import { Command, InvalidArgumentError } from 'commander';
import type { Config } from '../config/config.ts';
import { parseUserId } from '../protocol/user-id.ts';
import { type Cli, configOrFail, fail } from './cli.ts';
import { withRequiredOption } from './required-option.ts';

interface TokenOptions {
  readonly user: number;
  readonly name?: string;
  readonly expiresIn?: number;
}

const DEFAULT_LIFE_S = 86_400;

export function tokenCommand(cli: Cli): Command {
  const command = new Command('token').description(
    'Sign a user token with the configured (or the development) secret.',
  );
  return withRequiredOption(command, { flags: '--user <id>', description: 'user id', parse: userIdArgument })
    .option('--name <name>', 'user name that the token carries')
    .option('--expires-in <seconds>', `life of the token, default ${DEFAULT_LIFE_S}`, secondsArgument)
    .addHelpText('after', '\nExample:\n  lingxi token --user 42 --name 云中子 --expires-in 3600')
    .action(async (options: TokenOptions) => {
      const loaded = configOrFail(cli, ['jwt-secret']);
      if (loaded === undefined) return;
      const sign = await tokenSigner(cli, loaded.config);
      if (sign === undefined) return fail(cli, NO_SECRET);
      for (const { variable, path } of loaded.newSecrets) cli.error(madeSecret(variable, path));
      cli.out(sign(options));
    });
}

function madeSecret(variable: string, path: string): string {
  return `${variable} is not set, so this command made a development secret and kept it in ${path}. Only a server with this data folder accepts the token.`;
}

export const NO_SECRET = 'JWT_SECRET is not set here, so no token can be signed: set it, or pass a token.';

/** Signs tokens with the first secret of `config`; `undefined` without a secret. */
export async function tokenSigner(
  cli: Cli,
  config: Config,
): Promise<((options: TokenOptions) => string) | undefined> {
  if (config.jwtSecrets.length === 0) return undefined;
  // Only commands that sign need the cryptography.
  const [{ createCredentials }, { silentLog }] = await Promise.all([
    import('../gateway/token-credentials.ts'),
    import('../logging/log.ts'),
  ]);
  const credentials = createCredentials({ config, clock: cli.clock, log: silentLog });
  return ({ user, name, expiresIn = DEFAULT_LIFE_S }) =>
    credentials.signUser({
      userId: user,
      expiresInS: expiresIn,
      ...(name === undefined ? {} : { name }),
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
  if (!/^[1-9]\d{0,9}$/.test(text))
    throw new InvalidArgumentError('It must be a whole number of seconds from 1 to 9999999999.');
  return Number(text);
}
