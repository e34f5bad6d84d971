// What scripts/simulate.mjs starts for each worker. It plays its share and reports in lines of JSON.
import { startRedis } from '../support/redis.ts';
import { History, type HistoryReport } from './history.ts';
import { type Kill, killed, MUTANTS } from './mutants.ts';
import { ScriptRunner } from './script-runner.ts';

/** Every `stride`th history from `first` on, below `end`. The other workers play the rest. */
interface Share {
  readonly seed: number;
  readonly first: number;
  readonly end: number;
  readonly stride: number;
}

type Job =
  | ({ readonly kind: 'histories'; readonly realScripts: boolean } & Share)
  | ({ readonly kind: 'mutants' } & Omit<Share, 'end'>)
  | {
      readonly kind: 'trace';
      readonly realScripts: boolean;
      readonly seed: number;
      readonly history: number;
    };

type Told =
  | { readonly kind: 'played'; readonly histories: number }
  | { readonly kind: 'violated'; readonly report: HistoryReport }
  | { readonly kind: 'mutant'; readonly name: string; readonly kill: Kill | undefined }
  | { readonly kind: 'trace'; readonly report: HistoryReport; readonly lines: readonly string[] };

const TELL_EVERY_MS = 1000;

function tell(told: Told): void {
  process.stdout.write(`${JSON.stringify(told)}\n`);
}

async function playHistories(share: Share, runner: ScriptRunner | undefined): Promise<void> {
  const { seed, first, end, stride } = share;
  let played = 0;
  let told = performance.now();
  for (let history = first; history < end; history += stride) {
    const report = await new History({ seed, history, runner }).run();
    played += 1;
    if (report.violations.length > 0) tell({ kind: 'violated', report });
    if (performance.now() - told < TELL_EVERY_MS) continue;
    tell({ kind: 'played', histories: played });
    played = 0;
    told = performance.now();
  }
  tell({ kind: 'played', histories: played });
}

async function playMutants({ seed, first, stride }: Omit<Share, 'end'>): Promise<void> {
  for (let index = first; index < MUTANTS.length; index += stride) {
    const mutant = MUTANTS[index];
    if (mutant === undefined) return;
    tell({ kind: 'mutant', name: mutant.name, kill: await killed(mutant, seed) });
  }
}

async function trace(
  { seed, history }: { readonly seed: number; readonly history: number },
  runner: ScriptRunner | undefined,
): Promise<void> {
  const lines: string[] = [];
  const report = await new History({ seed, history, runner, trace: lines }).run();
  tell({ kind: 'trace', report, lines });
}

/** Gives `work` its own Redis if the real scripts are to run. */
async function withScripts(
  realScripts: boolean,
  work: (runner: ScriptRunner | undefined) => Promise<void>,
): Promise<void> {
  if (!realScripts) return work(undefined);
  const redis = await startRedis();
  try {
    const runner = new ScriptRunner(redis.port);
    await work(runner);
    await runner.close();
  } finally {
    await redis.stop();
  }
}

function play(job: Job): Promise<void> {
  switch (job.kind) {
    case 'histories':
      return withScripts(job.realScripts, (runner) => playHistories(job, runner));
    case 'mutants':
      return playMutants(job);
    case 'trace':
      return withScripts(job.realScripts, (runner) => trace(job, runner));
  }
}

// A bad network makes thousands of errors, and nobody reads their stacks.
Error.stackTraceLimit = 0;
await play(JSON.parse(process.argv[2] ?? '') as Job);
