import { Command } from 'commander';
import { configReference } from '../config/docs.ts';
import type { Cli } from './cli.ts';

export function configDocsCommand(cli: Cli): Command {
  return new Command('config-docs')
    .description('Print the reference of all configuration keys as Markdown.')
    .addHelpText('after', '\nExample:\n  lingxi config-docs > docs/CONFIGURATION.md')
    .action(() => cli.out(configReference().trimEnd()));
}
