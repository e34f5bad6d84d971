import { type ParseArgsConfig, parseArgs } from 'node:util';
import { KINDS, type Kind } from '../support/fuzz/case.ts';
import { findingLines } from '../support/fuzz/finding-lines.ts';
import { type RunSettings, replay, runAttacks } from '../support/fuzz/run.ts';
import type { Runtime } from '../support/gateway-process.ts';
import { reportLines } from './report.ts';

const OPTIONS = {
  runtime: { type: 'string', default: 'both' },
  seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  frames: { type: 'string', default: '1000000' },
  json: { type: 'string', default: '100000' },
  handshakes: { type: 'string', default: '10000' },
  bus: { type: 'string', default: '10000' },
  'stall-ms': { type: 'string', default: '100' },
  'growth-mb': { type: 'string', default: '128' },
  /** Size limit of a message, in the gateway and in the generator. */
  'message-bytes': { type: 'string', default: '262144' },
  /** Leaves out what is described so. */
  without: { type: 'string' },
  /** With `case`: plays that one alone. */
  kind: { type: 'string' },
  case: { type: 'string' },
} satisfies ParseArgsConfig['options'];
const NUMBERS = ['seed', ...KINDS, 'stall-ms', 'growth-mb', 'message-bytes', 'case'] as const;

const { values } = parseArgs({ options: OPTIONS });
for (const name of NUMBERS) {
  const given = values[name];
  if (given !== undefined && !/^\d+$/.test(given)) fail(`--${name} is ${given}: it must be a whole number.`);
}
if (!['both', 'bun', 'node'].includes(values.runtime))
  fail(`--runtime is ${values.runtime}: bun, node or both.`);
if ((values.case === undefined) !== (values.kind === undefined)) fail('--kind and --case go together.');
const runtimes: readonly Runtime[] =
  values.runtime === 'both' ? ['node', 'bun'] : [values.runtime as Runtime];

let isGood = true;
for (const runtime of runtimes) isGood = (await attack(runtime)) && isGood;
process.exit(isGood ? 0 : 1);

async function attack(runtime: Runtime): Promise<boolean> {
  const settings = settingsFor(runtime);
  if (values.case !== undefined) return replayOne(settings, Number(values.case));
  const report = await runAttacks(settings);
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  say(reportLines(report, settings));
  return report.findings.length === 0 && report.leaks.length === 0;
}

async function replayOne(settings: RunSettings, index: number): Promise<boolean> {
  const finding = await replay(settings, kindNamed(values.kind), index);
  say(finding === undefined ? [`${settings.runtime}: no trouble`] : findingLines(finding, settings));
  return finding === undefined;
}

function settingsFor(runtime: Runtime): RunSettings {
  return {
    runtime,
    seed: Number(values.seed),
    counts: {
      frames: Number(values.frames),
      json: Number(values.json),
      handshakes: Number(values.handshakes),
      bus: Number(values.bus),
    },
    stallMs: Number(values['stall-ms']),
    growthMb: Number(values['growth-mb']),
    maxMessageBytes: Number(values['message-bytes']),
    ...(values.without === undefined ? {} : { without: new RegExp(values.without) }),
    progress(kind, units) {
      if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${runtime} ${kind} ${units}`);
    },
  };
}

function kindNamed(name: string | undefined): Kind {
  const kind = KINDS.find((candidate) => candidate === name);
  if (kind === undefined) fail(`--kind is ${String(name)}: one of ${KINDS.join(', ')}.`);
  return kind;
}

function say(lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`);
}

function fail(sentence: string): never {
  process.stderr.write(`${sentence}\n`);
  process.exit(2);
}
