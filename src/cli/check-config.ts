import { Command } from 'commander';
import type { Config } from '../config/config.ts';
import { FIELDS, KEYS } from '../config/keys.ts';
import type { LoadedConfig } from '../config/load.ts';
import { plainValue } from '../config/shown-config.ts';
import { maskedAddress } from '../config/shown-url.ts';
import { type Cli, configOrFail } from './cli.ts';

export function checkConfigCommand(cli: Cli): Command {
  return new Command('check-config')
    .description('Print the configuration in force, secrets masked, and where each value came from.')
    .addHelpText('after', '\nExample:\n  LINGXI_SESSION_POLICY=multi lingxi check-config')
    .action(() => {
      const loaded = configOrFail(cli);
      if (loaded !== undefined) for (const line of configLines(loaded)) cli.out(line);
    });
}

/** One line for each key, then the notices. */
export function configLines(loaded: LoadedConfig): readonly string[] {
  const shown = FIELDS.map((field) => ({
    variable: KEYS[field].variable,
    value: KEYS[field].secret === true ? masked(loaded.config[field]) : plainValue(loaded.config[field]),
    origin: loaded.origins.get(field) ?? '',
  }));
  const wide = Math.max(...shown.map(({ variable }) => variable.length));
  return [
    ...shown.map(({ variable, value, origin }) => `${variable.padEnd(wide)}  ${value}  (${origin})`),
    ...loaded.notices.map((notice) => `! ${notice.variable} = ${notice.value}: ${notice.risk}`),
  ];
}

type Value = Config[keyof Config];

function masked(value: Value): string {
  if (value === undefined) return 'none';
  if (Array.isArray(value)) {
    if (value.length === 0) return 'none';
    return value.map(() => '********').join(',');
  }
  return maskedAddress(String(value));
}
