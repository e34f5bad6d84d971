// Sends random and mutated inputs to running gateways of both runtimes. A witness beside them must notice nothing:
//   npm run abuse -- [--runtime node|bun|both] [--seed S] [--frames N] [--json N] [--handshakes N] [--bus N]
//                    [--stall-ms 100] [--growth-mb 128] [--message-bytes 262144]
//   npm run abuse -- --runtime node --seed S --kind json --case N      that one alone, made as small as possible
// Starts a Redis, a PostgreSQL and the gateways by itself, as the tests do. Writes only its report.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const compiled = join(root, 'node_modules', '.cache', 'lingxi-abuse');

run([join(root, 'scripts', 'build.mjs')]);
// Node reads no TypeScript.
run([join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', 'test/abuse/tsconfig.json']);
mkdirSync(compiled, { recursive: true });
writeFileSync(join(compiled, 'package.json'), '{ "type": "module" }\n');
run([join(compiled, 'test', 'abuse', 'main.js'), ...process.argv.slice(2)]);

/** Ends this program if the step fails. */
function run(args) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
