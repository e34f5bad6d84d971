import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { benchCommand } from './bench.ts';
import { checkConfigCommand } from './check-config.ts';
import { type Cli, processCli } from './cli.ts';
import { configDocsCommand } from './config-docs.ts';
import { doctorCommand } from './doctor.ts';
import { drainCommand } from './drain.ts';
import { migrateCommand } from './migrate.ts';
import { nodesCommand } from './nodes.ts';
import { probeCommand } from './probe.ts';
import { pushCommand } from './push.ts';
import { serveCommand } from './serve.ts';
import { tokenCommand } from './token.ts';
import { whyCommand } from './why.ts';

const VERSION = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

/** Runs the command line `argv`, without the runtime and the script. */
export async function runCli(argv: readonly string[]): Promise<void> {
  // A reader such as `head` may stop reading early. That is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  // The reader may be gone. Then these texts are lost, and nothing else.
  process.stderr.on('error', () => undefined);
  await buildProgram(processCli()).parseAsync(argv, { from: 'user' });
}

export function buildProgram(cli: Cli): Command {
  return (
    new Command('lingxi')
      .description('WebSocket connection manager and presence gateway.')
      .version(VERSION)
      // An option after `bench soak` belongs to soak, even if bench has an option with the same name.
      .enablePositionalOptions()
      .addCommand(serveCommand(cli))
      .addCommand(tokenCommand(cli))
      .addCommand(probeCommand(cli))
      .addCommand(doctorCommand(cli))
      .addCommand(pushCommand(cli))
      .addCommand(whyCommand(cli))
      .addCommand(nodesCommand(cli))
      .addCommand(drainCommand(cli))
      .addCommand(benchCommand(cli))
      .addCommand(migrateCommand(cli))
      .addCommand(checkConfigCommand(cli))
      .addCommand(configDocsCommand(cli))
      .addHelpText('after', '\nExample:\n  lingxi serve\n  lingxi probe --user 1')
      .showHelpAfterError('(see --help)')
  );
}
