// Keeps the figures that tests and measurements print, and writes them into docs/FIGURES.md:
//   npm run figures -- <log file>…          logs of npm test, npm run scenarios, bench, simulate, abuse
//   [--commit HASH] [--machine TEXT]        for a log from another branch or another machine
// docs/figures.json has the data. The newest lines of each figure replace the older ones; the others stay.
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findBun } from '../bin/find-bun.js';
import { figuresIn } from './figures/log.mjs';
import { pageOf } from './figures/page.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const data = join(root, 'docs', 'figures.json');
const page = join(root, 'docs', 'FIGURES.md');

try {
  main(readArguments());
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}

function main({ paths, commit, machine }) {
  // The newest log is read last, so that its lines stay.
  const logs = paths.map(readLog).sort((left, right) => left.at.getTime() - right.at.getTime());
  const figures = JSON.parse(readFileSync(data, 'utf8'));
  const seen = new Set();
  for (const { found, at } of logs) {
    const date = at.toISOString().slice(0, 10);
    for (const [id, lines] of found) {
      figures[id] = { date, commit: commit ?? commitAt(at), machine: machine ?? thisMachine(), lines };
      seen.add(id);
    }
  }
  writeFileSync(data, `${JSON.stringify(figures, null, 2)}\n`);
  writeFileSync(page, pageOf(figures));
  process.stdout.write(`docs/FIGURES.md has ${seen.size} new figures: ${[...seen].join(', ')}.\n`);
  for (const text of new Set(logs.flatMap(({ unknown }) => unknown)))
    process.stdout.write(`scripts/figures/known.mjs knows no figure of this kind: ${text}\n`);
}

/** The figures of a log, and the time at which it was written. */
function readLog(path) {
  let text;
  let modified;
  try {
    text = readFileSync(path, 'utf8');
    modified = statSync(path).mtime;
  } catch (error) {
    throw new Error(
      `${path} cannot be read: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}.`,
      { cause: error },
    );
  }
  const { found, unknown } = figuresIn(text);
  if (found.size === 0) throw new Error(`${path} contains no known figure.`);
  return { found, unknown, at: modified };
}

/** The newest commit here that is not newer than the log. */
function commitAt(time) {
  const args = ['log', '-1', '--format=%h', `--before=${time.toISOString()}`];
  return execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim() || 'unknown';
}

function thisMachine() {
  const bun = findBun();
  const withBun =
    bun === undefined ? '' : `, Bun ${execFileSync(bun, ['--version'], { encoding: 'utf8' }).trim()}`;
  return `${availableParallelism()} cores, Node ${process.versions.node}${withBun}`;
}

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { commit: { type: 'string' }, machine: { type: 'string' } },
  });
  if (positionals.length === 0) throw new Error('Name at least one log file: npm run figures -- <log file>…');
  return { paths: positionals, ...values };
}
