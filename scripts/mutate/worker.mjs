// Runs the tests of the mutants in its own Vitest, one mutant after the other. The mutated text exists only in memory: a plugin
// returns it instead of the file. If a mutant takes too long, the parent process ends this process and its whole group.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createVitest } from 'vitest/node';

/** Long enough for a busy machine: without a mutant no test may fail by its time limit. */
const TEST_TIMEOUT_MS = 15_000;
/** A mutant that fills memory without end fails before it affects other processes. */
const NODE_ARGUMENTS = ['--max-old-space-size=512'];
/** It reads the Lua scripts from files. */
const SCRIPT_LOADER = 'src/presence/store/redis/scripts.ts';
const FILE_SYSTEM = 'virtual:mutated-files';

let overlay;
let vitest;
let specifications = [];

process.on('disconnect', () => process.kill(-process.pid, 'SIGKILL'));
process.on('message', (message) => {
  work(message).then(
    (answer) => process.send(answer),
    (error) => process.send({ kind: 'failed', reason: String(error?.stack ?? error) }),
  );
});

function work(message) {
  switch (message.kind) {
    case 'file':
      return chooseTests(message);
    case 'mutant':
      return runMutant(message);
    default:
      throw new Error(`no such message: ${message.kind}`);
  }
}

/** Finds the first group with a test that reaches the file, and returns the result without a mutant. */
async function chooseTests({ root, file, groups, isKnown }) {
  vitest = await open(root, file);
  for (const paths of groups) {
    specifications = await vitest.getRelevantTestSpecifications(paths.map((path) => join(root, path)));
    if (specifications.length > 0) break;
  }
  const began = process.uptime();
  const failure = isKnown ? undefined : await findFailure();
  const ms = Math.round((process.uptime() - began) * 1000);
  return { kind: 'file', tests: specifications.length, failure, ms };
}

async function runMutant({ root, file, mutated }) {
  const path = join(root, file);
  overlay = { path, text: mutated };
  const changed = file.endsWith('.lua') ? [join(root, SCRIPT_LOADER), `\0${FILE_SYSTEM}`] : [path];
  for (const id of changed) vitest.invalidateFile(id);
  try {
    return { kind: 'mutant', failure: await findFailure() };
  } finally {
    for (const id of changed) vitest.invalidateFile(id);
    overlay = undefined;
  }
}

/** The first test that fails, or undefined. */
async function findFailure() {
  if (specifications.length === 0) return undefined;
  vitest.state.filesMap.clear();
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications(specifications, false);
  for (const module of testModules) {
    for (const test of module.children.allTests('failed')) return test.fullName;
    if (module.state() === 'failed') return module.relativeModuleId;
  }
  return unhandledErrors.length > 0 ? String(unhandledErrors[0]?.message ?? unhandledErrors[0]) : undefined;
}

function open(root, file) {
  const isLua = file.endsWith('.lua');
  const related = [join(root, isLua ? SCRIPT_LOADER : file)];
  return createVitest(
    'test',
    {
      ...{ config: false, root, watch: false, cache: false, reporters: [{}] },
      ...{ include: ['test/**/*.test.ts'], related, bail: 1, testTimeout: TEST_TIMEOUT_MS },
      ...{ pool: 'forks', maxWorkers: 1, isolate: false, execArgv: NODE_ARGUMENTS },
    },
    { configFile: false, plugins: [isLua ? scriptPlugin(root) : sourcePlugin()] },
  );
}

function sourcePlugin() {
  return {
    name: 'mutated-source',
    enforce: 'pre',
    load: (id) => (id === overlay?.path ? overlay.text : undefined),
  };
}

/** The loader of the scripts reads the mutated text instead of the file. */
function scriptPlugin(root) {
  return {
    name: 'mutated-script',
    enforce: 'pre',
    resolveId: (id) => (id === FILE_SYSTEM ? `\0${FILE_SYSTEM}` : undefined),
    load(id) {
      if (id !== `\0${FILE_SYSTEM}`) return undefined;
      const url = overlay === undefined ? '' : pathToFileURL(overlay.path).href;
      return `import { readFileSync as read } from 'node:fs';
        const url = ${JSON.stringify(url)};
        const text = ${JSON.stringify(overlay?.text ?? '')};
        export const readFileSync = (file, encoding) => (String(file) === url ? text : read(file, encoding));`;
    },
    transform(code, id) {
      if (id !== join(root, SCRIPT_LOADER)) return undefined;
      if (!code.includes("'node:fs'")) throw new Error(`${SCRIPT_LOADER} reads no files.`);
      return { code: code.replace("'node:fs'", `'${FILE_SYSTEM}'`), map: null };
    },
  };
}
