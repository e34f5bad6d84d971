import type { Key } from './key.ts';
import { CONFIG_FILE_VARIABLE, SECRET_FILE_SUFFIX, SECTIONS } from './keys.ts';

/** The reference of all keys as Markdown. It is the whole content of `docs/CONFIGURATION.md`. */
export function configReference(): string {
  return [HEADER, ...SECTIONS.map(({ title, keys }) => section(title, keys)), seedSection()].join('\n');
}

const HEADER = `# Configuration

<!-- Made by \`lingxi config-docs\`; a test compares it with the code. Change the keys in src/config instead. -->

Lingxi reads its settings from three places. An earlier one wins over a later one:

1. environment variables;
2. \`.env\` in the working directory;
3. \`${CONFIG_FILE_VARIABLE}=file.json\`, a JSON object with the same names.

- An empty value counts as unset.
- Lingxi refuses to start if a \`LINGXI_*\` name is unknown, a value is bad, or two settings contradict each other. One sentence
  names the fault.
- Lingxi never shows a variable marked *secret*. You can give it as \`<name>${SECRET_FILE_SUFFIX}\`, the path of a file that holds the
  value.
- \`lingxi check-config\` prints the values in force and where each came from.
`;

function section(title: string, keys: readonly Key<unknown>[]): string {
  const rows = keys.map(
    (key) =>
      `| \`${key.variable}\`${key.secret === true ? ' *secret*' : ''} | ${cell(key.defaultText)} | ${cell(key.kind.expects)} | ${cell(key.about)} |`,
  );
  return [
    `## ${title}`,
    '',
    '| variable | default | value | meaning |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

function seedSection(): string {
  const rows = SECTIONS.flatMap(({ keys }) => keys)
    .filter((key) => key.seed !== undefined)
    .map((key) => {
      const only = key.seed?.only === undefined ? '' : ` (${key.seed.only.text})`;
      return `| \`${key.variable}\` | \`${String(key.seed?.value)}\`${only} | ${cell(key.seed?.risk ?? '')} |`;
    });
  return [
    '## The profile `seed`',
    '',
    'This profile suits programs written for the Go server that Lingxi replaces. `LINGXI_PROFILE=seed` sets these values, unless you',
    'set them yourself:',
    '',
    '| variable | value | risk |',
    '| --- | --- | --- |',
    ...rows,
    '| `JWT_SECRET` | may be shorter than 32 bytes | a short secret can be guessed from one token |',
    '',
    'With this profile a logout of a user who is known to be offline gets 200 with the recorded `logoutTime`.',
    '',
  ].join('\n');
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
