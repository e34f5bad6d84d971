import type { Command } from 'commander';

interface RequiredOption<Value> {
  readonly flags: string;
  readonly description: string;
  readonly parse: (text: string) => Value;
}

/**
 * Adds a required option. Commander's own required options are checked before unknown options. So Commander would report a
 * mistyped option as missing.
 */
export function withRequiredOption<Value>(command: Command, option: RequiredOption<Value>): Command {
  const { flags, description, parse } = option;
  const known = command.createOption(flags, description).argParser(parse);
  return command.addOption(known).hook('preAction', () => {
    if (command.getOptionValue(known.attributeName()) === undefined)
      command.error(`error: required option '${flags}' not specified`);
  });
}
