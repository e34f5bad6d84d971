import { Command } from 'commander';
import { type Cli, configOrFail, fail } from './cli.ts';

export function migrateCommand(cli: Cli): Command {
  return new Command('migrate')
    .description('Apply the pending migrations, under a lock, and print the grants that the server needs.')
    .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://owner@db/game lingxi migrate')
    .action(async () => {
      const loaded = configOrFail(cli);
      if (loaded === undefined) return;
      // Only this command needs the database drivers.
      const { grantsNeeded, runMigrations } = await import('../settlement/migrate.ts');
      const applied = await runMigrations(loaded.config);
      if (!applied.ok) return fail(cli, applied.error.message);
      cli.out(applied.value.length === 0 ? 'Nothing to apply.' : `Applied: ${applied.value.join(', ')}.`);
      const grants = grantsNeeded(loaded.config);
      if (grants.length === 0) return;
      cli.out('The role of the server needs these grants:');
      for (const grant of grants) cli.out(`  ${grant}`);
    });
}
