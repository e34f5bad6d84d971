// Plays random histories of a whole deployment: npm run simulate -- --histories N --seed S [--history H]
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({
  options: {
    histories: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    /** This one alone, with its trace. */
    history: { type: 'string' },
  },
});
for (const [name, value] of Object.entries(values)) {
  if (!/^\d+$/.test(value)) {
    process.stderr.write(`--${name} is ${value}: it must be a whole number.\n`);
    process.exit(2);
  }
}
const { status } = spawnSync(
  process.execPath,
  [`${root}node_modules/vitest/vitest.mjs`, 'run', 'test/simulation/simulate.test.ts'],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      SIMULATE_HISTORIES: values.histories,
      SIMULATE_SEED: values.seed,
      ...(values.history === undefined ? {} : { SIMULATE_HISTORY: values.history }),
    },
  },
);
process.exit(status ?? 1);
