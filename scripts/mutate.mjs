// Changes one line of the sources at a time, runs the tests of that module, and lists the changes that no test notices:
//   npm run mutate -- src/heartbeat                         a folder or a file, or several; TypeScript and Lua
//   npm run mutate -- src/presence/rules --limit 50 --seed 7     a random sample
//   npm run mutate -- src/lib --list                        the mutants alone
//   [--wide] [--tests test/simulation/traps.test.ts] [--workers K] [--time-limit MS]
// The unit tests in the folder of the same name judge a source if they import it. With --wide, all unit tests that import a
// source judge the mutants that survive. The model test judges the Lua scripts and the rules that they follow.
// The mutated text is never written to a file. A mutant whose tests do not end in time counts as killed.
// test/mutants/equivalent.json excuses mutants that change nothing. Exit code 1: some survived. 2: nothing was judged.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { excuse } from './mutate/excuses.mjs';
import { findSources, mutantsOf, sample } from './mutate/mutants.mjs';
import { Pool } from './mutate/pool.mjs';

/** Plays the same commands on the rules and on the scripts in a real Redis: each checks the other. */
const MODEL_TEST = 'test/simulation/presence-store-model.test.ts';
const RULES = 'src/presence/rules/';
const UNIT_TESTS = 'test/unit/';
const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');

try {
  await main(readArguments());
} catch (error) {
  end(error.message);
}

async function main({ targets, limit, seed, list, ...options }) {
  const all = findSources(root, targets).flatMap((file) => mutantsOf(root, file));
  if (all.length === 0) throw new Error(`There is nothing to mutate in ${targets.join(', ')}.`);
  const { toPlay, excused } = excuse(root, all);
  const chosen = sample(toPlay, { limit, seed });
  if (list) {
    for (const mutant of chosen) say(shown(mutant));
    say(`${chosen.length} mutants`);
    return;
  }
  if (chosen.length < toPlay.length) say(`${chosen.length} of ${toPlay.length} mutants, seed ${seed}`);
  const survivors = await judge(chosen, options);
  const killed = chosen.length - survivors.length;
  const score = chosen.length === 0 ? 100 : Math.floor((1000 * killed) / chosen.length) / 10;
  say(
    `killed ${killed} of ${chosen.length} (${score} %), ${excused.length} excused, in ${Math.round(process.uptime())} s`,
  );
  process.exit(survivors.length === 0 ? 0 : 1);
}

/** Returns the mutants that no test notices. */
async function judge(chosen, { tests, wide, workers, timeLimitMs }) {
  const pool = new Pool({ root, timeLimitMs });
  const groupsOf = (file) => (tests.length > 0 ? [tests] : nearTests(file));
  try {
    let { alive, unjudged } = await play(pool, { chosen, groupsOf, workers });
    if (wide && alive.length > 0 && unjudged.length === 0)
      ({ alive, unjudged } = await play(pool, { chosen: alive, groupsOf: () => [[UNIT_TESTS]], workers }));
    for (const mutant of alive) say(`ALIVE ${shown(mutant)}`);
    if (unjudged.length > 0) throw new Error(unjudged.join('\n'));
    return alive;
  } finally {
    pool.close();
  }
}

async function play(pool, { chosen, groupsOf, workers }) {
  const files = [...new Set(chosen.map(({ file }) => file))];
  const jobs = files.map((file) => ({
    ...{ file, groups: groupsOf(file) },
    mutants: chosen.filter((mutant) => mutant.file === file),
  }));
  const killed = new Set();
  const untested = new Set();
  let played = 0;
  const unjudged = await pool.play(jobs, {
    count: workers,
    hear(mutant, verdict) {
      played += 1;
      if (verdict.kind === 'killed') killed.add(mutant);
      if (verdict.kind === 'untested') untested.add(mutant.file);
      if (process.stderr.isTTY)
        process.stderr.write(`\r${played} of ${chosen.length}, ${played - killed.size} alive `);
      if (process.env.LINGXI_MUTATE_VERBOSE !== undefined)
        say(`${verdict.kind} ${verdict.by ?? ''} ${shown(mutant)}`);
    },
  });
  if (process.stderr.isTTY) process.stderr.write('\n');
  for (const file of untested) say(`no test imports ${file}`);
  return { alive: chosen.filter((mutant) => !killed.has(mutant)), unjudged };
}

/** The folders that may contain the tests of a source, the nearest first. */
function nearTests(file) {
  if (file.endsWith('.lua') || file.startsWith(RULES)) return [[MODEL_TEST]];
  const folders = dirname(file).split('/').slice(1);
  const mirrored = folders.map(
    (_, index) => `${UNIT_TESTS}${folders.slice(0, folders.length - index).join('/')}/`,
  );
  return [...mirrored.filter((folder) => existsSync(join(root, folder))), UNIT_TESTS].map((path) => [path]);
}

function shown({ file, line, from, to }) {
  return `${file}:${line}\n  - ${from}\n  + ${to}`;
}

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      limit: { type: 'string' },
      seed: { type: 'string' },
      tests: { type: 'string', multiple: true, default: [] },
      workers: { type: 'string', default: String(availableParallelism()) },
      'time-limit': { type: 'string' },
      list: { type: 'boolean', default: false },
      wide: { type: 'boolean', default: false },
    },
  });
  for (const name of ['limit', 'seed', 'workers', 'time-limit']) {
    const value = values[name];
    if (value !== undefined && !/^\d+$/.test(value))
      throw new Error(`--${name} is ${value}: it must be a whole number.`);
  }
  for (const name of ['limit', 'workers', 'time-limit'])
    if (values[name] === '0') throw new Error(`--${name} must be at least 1.`);
  if (positionals.length === 0)
    throw new Error('Name what to mutate, as in: npm run mutate -- src/heartbeat');
  const targets = positionals.map((target) => relative(root, join(process.cwd(), target)));
  for (const [index, target] of targets.entries()) {
    if (!existsSync(join(root, target))) throw new Error(`There is no ${positionals[index]}.`);
    if (target !== 'src' && !target.startsWith('src/'))
      throw new Error(`${positionals[index]} is not below src.`);
  }
  for (const path of values.tests) if (!existsSync(join(root, path))) throw new Error(`There is no ${path}.`);
  return {
    ...{ targets, tests: values.tests, list: values.list, wide: values.wide },
    limit: values.limit === undefined ? Number.POSITIVE_INFINITY : Number(values.limit),
    seed: values.seed === undefined ? process.pid : Number(values.seed),
    workers: Number(values.workers),
    timeLimitMs: values['time-limit'] === undefined ? undefined : Number(values['time-limit']),
  };
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

function end(sentence) {
  process.stderr.write(`${sentence}\n`);
  process.exit(2);
}
