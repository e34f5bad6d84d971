#!/usr/bin/env node
// Starts the command line in Node. It starts `serve` on Bun if LINGXI_RUNTIME or the installed programs say so. It is plain
// JavaScript, because a fresh clone has no compiled files.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'dotenv';
import { findBun } from './find-bun.js';

const PROGRAM = new URL('../dist/program/main.js', import.meta.url);
const FORWARDED = ['SIGTERM', 'SIGINT', 'SIGHUP'];
/** Node opens its debugger at SIGUSR1, Bun ends at it, and both end at SIGUSR2. A server must ignore both. */
const IGNORED = ['SIGUSR1', 'SIGUSR2'];

/**
 * Options for the engine of Bun. A storm of logins makes hundreds of functions hot, and the engine's best compiler would take a
 * core from those who log in. With these options it waits for fifteen times as many calls, and until then its code takes no
 * memory.
 */
const ENGINE = { BUN_JSC_thresholdForFTLOptimizeAfterWarmUp: '1500000' };

const argv = process.argv.slice(2);

// Bun runs the program, and the launcher has the other end of this channel. If the launcher is killed, also during the start,
// nothing else would stop this process.
if (process.versions.bun !== undefined && process.send !== undefined) {
  process.on('disconnect', () => process.exit(1));
  // The listener alone would keep a command that has ended its work from ending.
  process.channel?.unref();
  process.send('runs');
}

if (argv[0] === 'serve') for (const signal of IGNORED) process.on(signal, () => {});

if (!existsSync(PROGRAM)) {
  end('Lingxi is not built yet: run "npm run build" first.');
} else if (!servesElsewhere()) {
  await runHere();
} else {
  const wanted = runtimeWanted();
  const bun = wanted === 'bun' || wanted === 'auto' ? findBun() : undefined;
  if (bun !== undefined) runOnBun(bun);
  else if (wanted === 'bun') {
    end(
      'LINGXI_RUNTIME is bun, but Bun was not found: install it with "npm i -D bun", or set LINGXI_RUNTIME=node.',
    );
  } else await runHere();
}

/** Only the server gains from Bun, and only if it does not already run there. */
function servesElsewhere() {
  if (process.versions.bun !== undefined || argv[0] !== 'serve') return false;
  return !argv.includes('--help') && !argv.includes('-h');
}

async function runHere() {
  const { runCli } = await import(PROGRAM.href);
  await runCli(argv);
}

function runOnBun(bun, engine = ENGINE) {
  let runs = false;
  // Before the start of Bun: a signal that ended this process just after it would leave Bun alone.
  const forward = (signal) => child.kill(signal);
  for (const signal of FORWARDED) process.on(signal, forward);
  // Bun would load more files than .env, and expand the values in it. The configuration must not depend on the runtime. The
  // channel tells the server if this process is killed.
  const child = spawn(bun, ['--no-env-file', fileURLToPath(import.meta.url), ...argv], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...engine, ...process.env },
  });
  child.once('message', () => {
    runs = true;
  });
  child.on('error', (error) => end(`Bun (${bun}) could not be started: ${error.message}.`));
  const ended = (code, signal) => {
    for (const name of FORWARDED) process.off(name, forward);
    // A version of Bun that does not know an option refuses to run.
    if (code === 1 && !runs && engine === ENGINE && runsWithoutEngine(bun)) runOnBun(bun, {});
    else if (signal === null) process.exit(code ?? 1);
    else process.kill(process.pid, signal);
  };
  child.on('exit', (code, signal) => {
    // The message may arrive after the end of the process that sent it.
    if (child.connected) child.once('disconnect', () => ended(code, signal));
    else ended(code, signal);
  });
}

/** Whether Bun refused one of our options, and none of the user's. Bun has printed the fault, so nothing is printed here. */
function runsWithoutEngine(bun) {
  return spawnSync(bun, ['--no-env-file', '--eval', '0'], { stdio: 'ignore' }).status === 0;
}

/** The setting as the configuration would read it. The configuration reports its faults. */
function runtimeWanted() {
  const layers = [process.env, readEnvFile()];
  const file = firstValue(layers, 'LINGXI_CONFIG');
  if (file !== undefined) layers.push(readJsonFile(file));
  return firstValue(layers, 'LINGXI_RUNTIME') ?? 'auto';
}

function firstValue(layers, name) {
  return layers.map((layer) => layer[name]).find((value) => value !== undefined && value !== '');
}

function readEnvFile() {
  try {
    return parse(readFileSync(resolve('.env'), 'utf8').replace(/^\uFEFF/, ''));
  } catch {
    return {};
  }
}

function readJsonFile(file) {
  try {
    const value = JSON.parse(readFileSync(resolve(file), 'utf8').replace(/^\uFEFF/, ''));
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

function end(sentence) {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}
