// Plays random histories of a whole deployment. Uses Bun if it is installed, because it is twice as fast:
//   npm run simulate -- --histories N --seed S [--workers K] [--keep-going]
//   npm run simulate -- --seed S --history H      that one alone, with its trace
//   npm run simulate -- --real-scripts …          the same on the shipped scripts, in a Redis of each worker's own
//   npm run simulate -- --mutants                 what is broken on purpose, and after how many histories it is found
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findBun } from '../bin/find-bun.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const compiled = join(root, 'node_modules', '.cache', 'lingxi-simulator');
/** Enough to see a pattern; the rest is dropped. */
const MAX_FAILURES = 5;
/** The shown part of a trace around its first violation. */
const LINES_BEFORE = 120;
const LINES_AFTER = 5;

const HELP = `Plays random histories of a whole deployment on simulated time.

  npm run simulate -- [options]
  --histories N    how many (1000)
  --seed S         which ones (1); the same seed plays the same histories
  --history H      that one alone, with its whole trace
  --workers K      processes side by side (one for each core)
  --runtime R      auto (Bun if it is installed), bun or node
  --real-scripts   on the shipped scripts, in a real Redis for each worker
  --mutants        breaks the rules on purpose, and says after how many histories each mutant is found
  --keep-going     does not end at the fifth failure
`;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', short: 'h', default: false },
    histories: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    /** Plays only this history, with its whole trace. */
    history: { type: 'string' },
    workers: { type: 'string', default: String(availableParallelism()) },
    runtime: { type: 'string', default: 'auto' },
    mutants: { type: 'boolean', default: false },
    /** Redis is a real one. */
    'real-scripts': { type: 'boolean', default: false },
    /** Does not stop at the first few failures. */
    'keep-going': { type: 'boolean', default: false },
  },
});
if (values.help) {
  process.stdout.write(HELP);
  process.exit();
}
for (const name of ['histories', 'seed', 'history', 'workers']) {
  const value = values[name];
  if (value !== undefined && !/^\d+$/.test(value)) end(`--${name} is ${value}: it must be a whole number.`);
}
const [seed, histories, workers] = [Number(values.seed), Number(values.histories), Number(values.workers)];
const realScripts = values['real-scripts'];
if (realScripts && values.mutants) end('--mutants break the rules: --real-scripts has no part in them.');
const program = findProgram();

if (values.history !== undefined) await showHistory(Number(values.history));
else if (values.mutants) await playMutants();
else await playHistories();

async function showHistory(history) {
  const { report, lines } = await traceOf(history);
  say([...lines, `seed ${seed} history ${history}: ${verdict(report)}`]);
  process.exitCode = report.violations.length === 0 ? 0 : 1;
}

async function playHistories() {
  const failures = [];
  const began = process.uptime();
  let played = 0;
  const rate = () => Math.round(played / (process.uptime() - began));
  const shares = share((first) => ({
    kind: 'histories',
    realScripts,
    seed,
    first,
    end: histories,
    stride: workers,
  }));
  const hear = (told) => {
    if (told.kind === 'violated') failures.push(told.report);
    else played += told.histories;
    if (process.stderr.isTTY)
      process.stderr.write(`\r${played} of ${histories}, ${rate()} a second, ${failures.length} failed `);
    if (failures.length >= MAX_FAILURES && !values['keep-going']) shares.stop();
  };
  await shares.run(hear);
  if (process.stderr.isTTY) process.stderr.write('\n');
  failures.sort((left, right) => left.history - right.history);
  for (const report of failures) say([`seed ${seed} history ${report.history}: ${verdict(report)}`]);
  const [worst] = failures;
  if (worst !== undefined) {
    const { lines } = await traceOf(worst.history);
    say(['', ...aroundViolation(lines), `seed ${seed} history ${worst.history}: ${verdict(worst)}`]);
    const how = realScripts ? '--real-scripts ' : '';
    say([`all of it: npm run simulate -- ${how}--seed ${seed} --history ${worst.history}`]);
  }
  const runtime = program.isBun ? 'Bun' : 'Node';
  const where = realScripts ? ' on the real scripts' : '';
  say([
    `${played} histories of seed ${seed}${where}, ${failures.length} violations (${rate()} a second on ${runtime}, ${workers} workers)`,
  ]);
  process.exitCode = failures.length === 0 ? 0 : 1;
}

async function playMutants() {
  let alive = 0;
  await share((first) => ({ kind: 'mutants', seed, first, stride: workers })).run(({ name, kill }) => {
    if (kill === undefined) alive += 1;
    if (kill === undefined) say([`ALIVE ${name}`]);
    else say([`${name}: killed after ${kill.after} by history ${kill.history}: ${kill.violation}`]);
  });
  say([alive === 0 ? 'every mutant was killed' : `${alive} mutants are alive`]);
  process.exitCode = alive === 0 ? 0 : 1;
}

async function traceOf(history) {
  let traced;
  await start({ kind: 'trace', realScripts, seed, history }, (told) => {
    traced = told;
  }).done;
  return traced;
}

function aroundViolation(lines) {
  const at = lines.findIndex((line) => line.includes(' VIOLATION '));
  const shown = at < 0 ? lines.length : at;
  return lines.slice(Math.max(0, shown - LINES_BEFORE), shown + LINES_AFTER);
}

function verdict({ violations }) {
  return violations.length === 0 ? 'no violation' : violations.join('; ');
}

/** One child for each worker. */
function share(jobOf) {
  const children = [];
  return {
    async run(hear) {
      for (let first = 0; first < workers; first += 1) children.push(start(jobOf(first), hear));
      await Promise.all(children.map(({ done }) => done));
    },
    stop() {
      for (const child of children) child.stop();
    },
  };
}

function start(job, hear) {
  const child = spawn(program.runtime, [...program.args, JSON.stringify(job)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let stopped = false;
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => hear(JSON.parse(line)));
  const done = new Promise((resolve) => {
    child.on('error', (error) => end(`${program.runtime} could not be started: ${error.message}.`));
    let open = 2;
    const finished = () => {
      open -= 1;
      if (open === 0) resolve();
    };
    lines.on('close', finished);
    child.on('exit', (code) => {
      if (code !== 0 && !stopped) end(`a worker ended with code ${code}.`);
      finished();
    });
  });
  return {
    done,
    stop() {
      stopped = true;
      child.kill();
    },
  };
}

function findProgram() {
  const bun = values.runtime === 'node' ? undefined : findBun();
  if (bun !== undefined)
    return { isBun: true, runtime: bun, args: [join(root, 'test', 'simulation', 'main.ts')] };
  if (values.runtime === 'bun') end('Bun was not found.');
  return { isBun: false, runtime: process.execPath, args: [compileForNode()] };
}

/** Node reads no TypeScript. */
function compileForNode() {
  const { status } = spawnSync(
    process.execPath,
    [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', 'test/simulation/tsconfig.json'],
    { cwd: root, stdio: 'inherit' },
  );
  if (status !== 0) process.exit(status ?? 1);
  mkdirSync(compiled, { recursive: true });
  writeFileSync(join(compiled, 'package.json'), '{ "type": "module" }\n');
  for (const asIs of ['src/presence/store/redis/scripts', 'test/simulation/redis-worker.mjs'])
    cpSync(join(root, asIs), join(compiled, asIs), { recursive: true });
  return join(compiled, 'test', 'simulation', 'main.js');
}

function say(lines) {
  process.stdout.write(`${lines.join('\n')}\n`);
}

function end(sentence) {
  process.stderr.write(`${sentence}\n`);
  process.exit(2);
}
