// `npm test`: what proves that the program is right. `npm run test:rest` has the rest. With arguments it is `vitest run` with these
// arguments.
//
// First the unit tests run, and beside them a fetch of the programs that the other tests need. Then come the contracts, scenarios
// and pages. The simulation runs beside them with the lowest priority: it needs a core for minutes and measures no time. It
// reports at the end.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';

const VITEST = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url));
const FETCH = fileURLToPath(new URL('../test/support/fetch-programs.ts', import.meta.url));
const UNIT = 'unit';
const SIMULATION = 'simulation';
const OTHERS = ['contracts', 'scenarios', 'browser'];
const LOWEST_PRIORITY = 19;
const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Each Node would read these certificates at its start, which takes as long as the start itself. No test needs them. */
const { NODE_EXTRA_CA_CERTS: _, ...ENVIRONMENT } = process.env;

const given = process.argv.slice(2);
const running = new Set();
let isStopped = false;
for (const signal of STOP_SIGNALS)
  process.on(signal, () => {
    isStopped = true;
    for (const stop of running) stop(signal);
  });

if (given.length > 0) process.exitCode = (await vitest(given)).code;
else {
  const fetched = run(['--import', 'tsx', FETCH]);
  const unit = await vitest(['--project', UNIT]);
  await fetched;
  if (!isStopped) await runOthers();
  process.exitCode ||= unit.code;
}

async function runOthers() {
  const simulation = vitest(['--project', SIMULATION], { isBeside: true });
  const others = await vitest(OTHERS.flatMap((name) => ['--project', name]));
  const { code, output } = await simulation;
  process.stdout.write(output);
  process.exitCode = others.code || code;
}

function vitest(args, options) {
  return run([VITEST, 'run', ...args], options);
}

/**
 * The result of a program in Node. One that runs beside another has the lowest priority and leads a session. Its output is in the
 * result.
 */
function run(args, { isBeside = false } = {}) {
  const child = spawn(process.execPath, args, {
    stdio: isBeside ? ['ignore', 'pipe', 'pipe'] : 'inherit',
    env: ENVIRONMENT,
    detached: isBeside,
  });
  if (isBeside) setLowestPriority(child.pid);
  const stop = isBeside ? (signal) => stopGroup(child.pid, signal) : (signal) => child.kill(signal);
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
