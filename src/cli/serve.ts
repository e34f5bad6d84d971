import { Command } from 'commander';
import { type Cli, configOrFail } from './cli.ts';

export function serveCommand(cli: Cli): Command {
  return new Command('serve')
    .description('Start the gateway. Configured by environment, .env, or LINGXI_CONFIG=file.json.')
    .addHelpText('after', '\nExample:\n  PORT=8080 REDIS_URL=redis://localhost lingxi serve')
    .action(async () => {
      const loaded = configOrFail(cli, ['jwt-secret', 'api-key']);
      if (loaded === undefined) return;
      const { runServer } = await import('./run-server.ts');
      await runServer(cli, loaded);
    });
}
