// `npm test`: every suite. With arguments it is `vitest run` with these arguments.
//
// The simulation needs a core for minutes and measures no time. The other suites spend half their time waiting. So the simulation
// runs beside them with the lowest priority, and reports at the end.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';

const VITEST = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url));
const BESIDE = 'simulation';
const LOWEST_PRIORITY = 19;
const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Each Node would read these certificates at its start, which takes as long as the start itself. No test needs them. */
const { NODE_EXTRA_CA_CERTS: _, ...ENVIRONMENT } = process.env;

const given = process.argv.slice(2);
const running = new Set();
for (const signal of STOP_SIGNALS)
  process.on(signal, () => {
    for (const stop of running) stop(signal);
  });

if (given.length > 0) process.exitCode = (await vitest(given)).code;
else {
  const beside = vitest(['--project', BESIDE], { isBehind: true });
  const others = await vitest(['--project', `!${BESIDE}`]);
  const { code, output } = await beside;
  process.stdout.write(output);
  process.exitCode = others.code || code;
}

/** The result of `vitest run`. For a run in the background, it also has the output, which is shown later. */
function vitest(args, { isBehind = false } = {}) {
  const child = spawn(process.execPath, [VITEST, 'run', ...args], {
    stdio: isBehind ? ['ignore', 'pipe', 'pipe'] : 'inherit',
    env: ENVIRONMENT,
    detached: isBehind,
  });
  if (isBehind) setLowestPriority(child.pid);
  const stop = isBehind ? (signal) => stopGroup(child.pid, signal) : (signal) => child.kill(signal);
  running.add(stop);
  const printed = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => printed.push(chunk));
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ code: 1, output: `${error.stack}\n` }));
    child.on('close', (code) => {
      running.delete(stop);
      resolve({ code: code ?? 1, output: Buffer.concat(printed) });
    });
  });
}

/** The terminal sends its signals only to its own session, so this forwards them. */
function stopGroup(leader, signal) {
  try {
    process.kill(-leader, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/**
 * Lowers the priority of a process that leads a session. If Linux groups processes by session ("autogroup"), a nice value counts
 * only within the session. Each server of a test has its own session, so it would share its core equally with the simulation. So
 * the whole session gets the low priority too.
 */
function setLowestPriority(pid) {
  setPriority(pid, LOWEST_PRIORITY);
  try {
    writeFileSync(`/proc/${pid}/autogroup`, String(LOWEST_PRIORITY));
  } catch {
    // On another system, or a Linux without such groups, the nice value counts everywhere.
  }
}
