import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type BenchOptions, EXIT_NOT_MEASURED, type SoakOptions } from './bench/options.ts';
import { runSoak, runTarget } from './bench/run.ts';
import type { Cli } from './cli.ts';
import { withRequiredOption } from './required-option.ts';
import { userIdArgument } from './token.ts';

/** The arguments of the repository's bench, which checks the values itself. */
const REPOSITORY_FLAGS = ['quick'] as const;
const REPOSITORY_VALUES = ['only', 'runtime', 'users'] as const;
type RepositoryOptions = Readonly<
  Partial<
    Record<(typeof REPOSITORY_FLAGS)[number] | (typeof REPOSITORY_VALUES)[number] | 'json', string | true>
  >
>;

/** The bench of the repository. It needs test tools that the package does not contain. */
const REPOSITORY_BENCH = fileURLToPath(new URL('../../bench/run.mjs', import.meta.url));

const FORMS = `Say how fast a server is. The command has three forms:
  --target URL             load a server of your own within limits; 30 s
  soak --minutes 60        hold users for a long time: does anything grow?
  [--quick] [--only B3,B4] in a clone: the scenarios of docs/PERFORMANCE.md, for
                           10 minutes (2 with --quick) with all cores. Nothing
                           else should run meanwhile. Ctrl-C is safe.`;

const EXIT_CODES = `
Exit code: 0 if there is a whole result, 2 if there is none, with the reason on standard error. Without --target: 0 if every
goal is met, 1 if one is missed, 2 if something was not measured, 3 if the machine was busy; --quick looks at no goal on speed,
and not at the machine. soak: 1 if something grew.`;

const EXAMPLES = `
Example:
  lingxi bench --target https://play.example --api-key KEY --jwt-secret SECRET --detection
  lingxi bench soak --minutes 60
  lingxi bench --quick`;

export function benchCommand(cli: Cli): Command {
  const command = new Command('bench')
    .summary('Load a server of your own with --target, and say how fast it is.')
    .usage('[--target URL] [options]')
    .description(FORMS)
    .enablePositionalOptions()
    .option('--connections <n>', 'users who connect, at most 1000', countArgument, 1_000)
    .option('--logins-per-second <n>', 'how fast they connect, at most 500', countArgument, 500)
    .option('--pushes-per-second <n>', 'messages to one of them each, at most 500', countArgument, 100)
    .option('--seconds <n>', 'for so long', countArgument, 10)
    .option('--detection', 'some of them fall silent: how late does the server notice?');
  withLoadOptions(command);
  for (const name of REPOSITORY_FLAGS) command.addOption(new Option(`--${name}`).hideHelp());
  for (const name of REPOSITORY_VALUES) command.addOption(new Option(`--${name} <value>`).hideHelp());
  return command
    .addCommand(soakCommand(cli))
    .addHelpText('after', `${EXIT_CODES}\n${EXAMPLES}`)
    .action((options: BenchOptions & RepositoryOptions) =>
      options.target === undefined ? runHere(cli, options) : runTarget(cli, options),
    );
}

function soakCommand(cli: Cli): Command {
  const command = new Command('soak').description(
    'Hold users for a long time, replace a few each second, and say whether anything grows.',
  );
  withRequiredOption(command, {
    flags: '--minutes <n>',
    description: 'for so long, as in 60 or 0.5',
    parse: minutesArgument,
  }).option('--users <n>', 'users who are connected at a time, at most 1000', countArgument, 200);
  withLoadOptions(command);
  return command
    .addHelpText('after', '\nWithout --target it starts a server of its own, on embedded stores.')
    .action((options: SoakOptions) => runSoak(cli, options));
}

function withLoadOptions(command: Command): void {
  command
    .option('--target <url>', 'the server, as in https://play.example')
    .option('--api-key <key>', 'service key, default that of this folder and environment')
    .addOption(new Option('--key <key>', 'the same as --api-key').hideHelp())
    .option('--jwt-secret <secret>', 'signs the tokens, default that of this folder and environment')
    .option('--first-user <id>', 'the lowest id of the users, default a random one near 2^31', userIdArgument)
    .option('--yes-this-is-mine', 'lift the limits; the server may slow down for everybody who uses it')
    .option('--json', 'print the result as JSON');
}

/** Runs the scenarios of docs/PERFORMANCE.md, on servers that the bench starts itself. */
function runHere(cli: Cli, options: RepositoryOptions): void {
  if (!existsSync(REPOSITORY_BENCH)) {
    cli.error(
      'The scenarios of docs/PERFORMANCE.md need a clone of the repository. Here, name a server of your own: lingxi bench --target URL.',
    );
    cli.setExitCode(EXIT_NOT_MEASURED);
    return;
  }
  const args = [
    ...REPOSITORY_FLAGS.filter((name) => options[name] === true).map((name) => `--${name}`),
    ...REPOSITORY_VALUES.flatMap((name) =>
      options[name] === undefined ? [] : [`--${name}`, String(options[name])],
    ),
    ...(options.json === true ? ['--json'] : []),
  ];
  const child = spawn(process.execPath, [REPOSITORY_BENCH, ...args], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  child.on('exit', (code) => process.exit(code ?? EXIT_NOT_MEASURED));
}

function countArgument(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text))
    throw new InvalidArgumentError('It must be a whole number from 1 to 999999.');
  return Number(text);
}

function minutesArgument(text: string): number {
  const minutes = /^\d{1,5}(\.\d{1,3})?$/.test(text) ? Number(text) : 0;
  if (minutes <= 0)
    throw new InvalidArgumentError(
      'It must be a number of minutes above 0 and below 100000, as in 60 or 0.5.',
    );
  return minutes;
}
