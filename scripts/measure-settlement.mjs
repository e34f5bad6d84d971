// Measures what heartbeats cost Redis, and how soon a crowd that times out at once is offline and settled:
//   npm run build && node scripts/measure-settlement.mjs [--users 10000] [--pinging 1000] [--seconds 30] [--runtime bun]
// Starts a Redis, a PostgreSQL and a node of its own, as the tests do. Runs on Bun, which takes TypeScript as it is.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { findBun } from '../bin/find-bun.js';

if (process.versions.bun === undefined) {
  const bun = findBun();
  if (bun === undefined) {
    process.stderr.write('Bun was not found among the npm packages: npm ci.\n');
    process.exit(1);
  }
  const command = [fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  const { status, error } = spawnSync(bun, command, {
    stdio: 'inherit',
    env: { ...process.env, MEASURE_NODE: process.execPath },
  });
  if (error !== undefined) process.stderr.write(`Bun could not be started: ${error.message}.\n`);
  process.exit(status ?? 1);
}
// The command is to start in Node, as it does for a user, and to choose its runtime itself.
process.execPath = process.env.MEASURE_NODE ?? process.execPath;
const { measureSettlement } = await import('../test/measure/settlement.ts');
process.exit((await measureSettlement(process.argv.slice(2))) ? 0 : 1);
