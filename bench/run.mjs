// Measures what Lingxi costs and how fast it is, beside other servers, and reports whether each goal is met:
//   npm run build && npm run bench -- [--quick] [--only B3,B4] [--runtime bun|node] [--json] [--write-docs]
// Starts the servers, Redis and PostgreSQL by itself, as the tests do. The load is a separate process. Runs on Bun, which reads
// TypeScript directly. Exit code 0: every goal is met; 1: a goal is missed; 2: something was not measured; 3: the machine was
// busy. docs/PERFORMANCE.md explains the figures.
import { spawn } from 'node:child_process';
import { existsSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { findBun } from '../bin/find-bun.js';

const FORWARDED = ['SIGTERM', 'SIGINT', 'SIGHUP'];
const NOT_MEASURED = 2;

if (!existsSync(new URL('../dist/program/main.js', import.meta.url)))
  end('Lingxi is not built yet: run "npm run build" first.');
else if (process.versions.bun === undefined) runOnBun();
else {
  // If the started process is killed, nothing is left behind: each helper ends with its standard input, and a watchdog ends each
  // server.
  process.on('disconnect', () => process.exit(NOT_MEASURED));
  for (const signal of FORWARDED)
    process.on(signal, () => {
      writeSync(2, '\nInterrupted. What was printed is not a whole run.\n');
      process.exit(NOT_MEASURED);
    });
  // The command must start in Node, as it does for a user, and choose its runtime itself.
  process.execPath = process.env.BENCH_NODE ?? process.execPath;
  const { bench } = await import('./main.ts');
  process.exit(await bench(process.argv.slice(2)));
}

function runOnBun() {
  const bun = findBun();
  if (bun === undefined) {
    end('Bun was not found among the npm packages: npm ci.');
    return;
  }
  const child = spawn(bun, ['--no-env-file', fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, BENCH_NODE: process.execPath },
  });
  for (const signal of FORWARDED) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => end(`Bun could not be started: ${error.message}.`));
  child.on('exit', (code) => process.exit(code ?? NOT_MEASURED));
}

function end(sentence) {
  process.stderr.write(`${sentence}\n`);
  process.exitCode = NOT_MEASURED;
}
