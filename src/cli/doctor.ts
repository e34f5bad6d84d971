import { Command, InvalidArgumentError } from 'commander';
import { parseUserId } from '../protocol/user-id.ts';
import { type Cli, configOrFail, fail } from './cli.ts';
import { badUrl, baseUrl, URL_OPTION } from './server-url.ts';

interface DoctorOptions {
  readonly url?: string;
  readonly users?: readonly [number, number];
  readonly apiKey?: string;
}

export function doctorCommand(cli: Cli): Command {
  return new Command('doctor')
    .description('Test a running server from outside: each line ✓ or ✗ with what was seen; exit 1 on any ✗.')
    .option('--url <url>', 'the server, default http://localhost:$PORT')
    .option(
      '--users <a,b>',
      'two user ids that may be logged in and out; needed in production',
      usersArgument,
    )
    .option('--api-key <key>', 'service key, default that of this folder and environment')
    .addHelpText('after', '\nExample:\n  lingxi doctor --url http://localhost:3000 --users 1001,1002')
    .action((options: DoctorOptions) => doctor(cli, options));
}

async function doctor(cli: Cli, options: DoctorOptions): Promise<void> {
  const loaded = configOrFail(cli);
  if (loaded === undefined) return;
  const { config } = loaded;
  const base = baseUrl(options.url, config.port);
  if (base === undefined) return fail(cli, badUrl(URL_OPTION, options.url));
  const serviceKey = options.apiKey ?? config.apiKeys[0];
  if (serviceKey === undefined) {
    return fail(
      cli,
      'LINGXI_API_KEY is not known here: run doctor in the folder of the server, set it, or pass --api-key.',
    );
  }
  const { examine } = await import('./doctor/examine.ts');
  const isHealthy = await examine(cli, { base, config, serviceKey, users: options.users });
  if (!isHealthy) cli.setExitCode(1);
}

function usersArgument(text: string): readonly [number, number] {
  const [first, second, ...rest] = text.split(',').map((part) => parseUserId(part.trim()));
  if (first === undefined || second === undefined || rest.length > 0 || first === second) {
    throw new InvalidArgumentError('It must be two different user ids separated by a comma.');
  }
  return [first, second];
}
