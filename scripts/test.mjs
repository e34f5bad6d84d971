// `npm test`: every suite. With arguments it is `vitest run` with these.
//
// The simulation needs both cores for minutes and measures no time. The other suites spend half their time on waiting. So
// the simulation runs beside them with the lowest priority, in the time that they leave, and reports at the end.
import { spawn } from 'node:child_process';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';

const VITEST = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url));
const BESIDE = 'simulation';
const LOWEST_PRIORITY = 19;
const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

const given = process.argv.slice(2);
const running = new Set();
for (const signal of STOP_SIGNALS)
  process.on(signal, () => {
    for (const child of running) child.kill(signal);
  });

if (given.length > 0) process.exitCode = (await vitest(given, 'inherit')).code;
else {
  const beside = vitest(['--project', BESIDE], 'pipe');
  const others = await vitest(['--project', `!${BESIDE}`], 'inherit');
  const { code, output } = await beside;
  process.stdout.write(output);
  process.exitCode = others.code || code;
}

/** How `vitest run` ended, and what it printed where that was not shown at once. */
function vitest(args, stdio) {
  const child = spawn(process.execPath, [VITEST, 'run', ...args], { stdio: ['inherit', stdio, stdio] });
  running.add(child);
  if (stdio === 'pipe') setPriority(child.pid, LOWEST_PRIORITY);
  const printed = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => printed.push(chunk));
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ code: 1, output: `${error.stack}\n` }));
    child.on('close', (code) => {
      running.delete(child);
      resolve({ code: code ?? 1, output: Buffer.concat(printed) });
    });
  });
}
