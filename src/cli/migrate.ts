import { Command } from 'commander';
import { type Cli, fail, readConfig } from './cli.ts';

export function migrateCommand(cli: Cli): Command {
  return new Command('migrate')
    .description(
      'Apply the pending migrations, under a lock, and print the grants that the server needs. Needs no JWT key and no service key.',
    )
    .option('--role <name>', 'role with which the server connects: the grants are printed for it')
    .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://owner@db/game lingxi migrate --role lingxi')
    .action(async ({ role }: { readonly role?: string }) => {
      const loaded = readConfig(cli, { needs: 'stores' });
      if (!loaded.ok) return fail(cli, loaded.error.message);
      // Only this command needs the database drivers.
      const { runMigrations } = await import('../settlement/migrate.ts');
      const migrated = await runMigrations(loaded.value.config, role);
      if (!migrated.ok) return fail(cli, migrated.error.message);
      const { applied, grants } = migrated.value;
      cli.out(applied.length === 0 ? 'Nothing to apply.' : `Applied: ${applied.join(', ')}.`);
      if (grants.length === 0) return;
      cli.out(
        role === undefined
          ? 'A server that connects as another role needs these grants (--role <name> puts its name in):'
          : `The role ${role} needs these grants, run by the owner of the tables:`,
      );
      for (const grant of grants) cli.out(`  ${grant}`);
    });
}
