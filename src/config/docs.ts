import type { Key } from './key.ts';
import { CONFIG_FILE_VARIABLE, SECRET_FILE_SUFFIX, SECTIONS } from './keys.ts';

/** The reference of all keys as Markdown: the whole content of `docs/CONFIGURATION.md`. */
export function configReference(): string {
  return [HEADER, ...SECTIONS.map(({ title, keys }) => section(title, keys)), seedSection()].join('\n');
}

const HEADER = `# Configuration

<!-- Made by \`lingxi config-docs\`; a test compares it with the code. Change the keys in src/config instead. -->

Environment variables, \`.env\` in the working directory, or \`${CONFIG_FILE_VARIABLE}=file.json\` (a JSON object of the same
names); the environment wins over \`.env\`, and \`.env\` over the file. An empty value counts as unset. An unknown
\`LINGXI_*\` name, a bad value or a contradiction refuses the start with one sentence that names it. A variable
marked *secret* is never shown, and may be given as \`<name>${SECRET_FILE_SUFFIX}\`, the path of a file that holds it.
\`lingxi check-config\` prints what is in force and where it came from.
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
    '## The seed profile',
    '',
    '`LINGXI_PROFILE=seed` sets, unless given otherwise:',
    '',
    '| variable | value | risk |',
    '| --- | --- | --- |',
    ...rows,
    '| `JWT_SECRET` | may be shorter than 32 bytes | a short secret can be guessed from one token |',
    '',
    'Logout of a user who is known to be offline answers 200 with the recorded `logoutTime`.',
    '',
  ].join('\n');
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
