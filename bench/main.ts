import { writeSync } from 'node:fs';
import { plot } from '../src/cli/bench/plot.ts';
import { describeMachine, lookAtCalm, type Machine, machineLine, whyBusy } from './machine.ts';
import { writePages } from './report/pages.ts';
import { linesOf, type Outcome, type Row, withoutSpeedGoals } from './report/rows.ts';
import { terminalTable } from './report/table.ts';
import { NAMES, SCENARIOS, type Scenario } from './scenarios/all.ts';
import { preparePeers } from './servers/peers.ts';
import { type Arguments, readSettings, type Settings } from './settings.ts';

const EXIT = { met: 0, missed: 1, notMeasured: 2, busy: 3 };

const USAGE = `npm run bench -- [--quick] [--only B3,B4] [--runtime bun|node] [--users N] [--json] [--write-docs]
Runs the scenarios of docs/PERFORMANCE.md on servers of its own. Nothing else should run meanwhile.
  (nothing)     all of them, about 10 minutes
  --quick       few users, no verdicts on speed, less than 2 minutes
  --only NAMES  some of them: ${NAMES.join(', ')}`;

/** One scenario of a run. */
export interface Measured {
  readonly scenario: Pick<Scenario, 'names' | 'title'>;
  readonly outcome: Outcome;
  /** Why the scenario has no figures. */
  readonly error?: string;
}

/** A run. `gaps` lists what is missing, each as a sentence. Without a gap the run is complete. */
export interface Report {
  readonly machine: Machine;
  readonly gaps: readonly string[];
  readonly busy: string | undefined;
  readonly seconds: number;
  readonly measured: readonly Measured[];
}

/** Runs the scenarios, prints their results, and returns the exit code. */
export async function bench(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) {
    say(USAGE);
    return EXIT.met;
  }
  let settings: Arguments;
  try {
    settings = readSettings(args, NAMES);
  } catch (error) {
    complain(sentenceOf(error));
    return EXIT.notMeasured;
  }
  complain(announcement(settings));
  const start = performance.now();
  const machine = describeMachine();
  complain(`Lingxi at commit ${machine.commit}; ${machineLine(machine)}`);
  const { peers, missing } = preparePeers(settings.isQuick, complain);
  for (const sentence of missing) complain(sentence);
  const before = await lookAtCalm(peers);
  const busyAtStart = whyBusy([before]);
  if (busyAtStart !== undefined) complain(busyAtStart);
  const measured = await measureAll({ ...settings, peers });
  const after = await lookAtCalm(peers);
  const report: Report = {
    ...{ machine, measured, busy: whyBusy([before, after]), seconds: (performance.now() - start) / 1000 },
    gaps: [...(settings.isPart ? [partSentence(settings)] : []), ...missing, ...failuresOf(measured)],
  };
  print(report, settings);
  return exitCodeOf(report, settings);
}

/** The effect of a run on the machine: the first line, before anything starts. */
export function announcement({ isQuick, only }: Pick<Arguments, 'isQuick' | 'only'>): string {
  const isAll = only.length === NAMES.length;
  const what = isAll ? 'all scenarios' : `the scenarios ${only.join(', ')}`;
  const part = isAll ? 'about' : 'part of';
  const time = isQuick ? '2 minutes' : '10 minutes';
  const less = isQuick ? '--only B3,B4 runs less.' : '--quick (2 minutes) or --only B3,B4 run less.';
  return `Running ${what} with all cores, ${part} ${time}. Nothing else should run meanwhile. ${less} Ctrl-C is safe: it ends all servers.`;
}

async function measureAll(settings: Settings): Promise<readonly Measured[]> {
  const wanted = SCENARIOS.filter(({ names }) => names.some((name) => settings.only.includes(name)));
  const measured: Measured[] = [];
  for (const [index, scenario] of wanted.entries()) {
    const { names, title } = scenario;
    const started = performance.now();
    complain(`[${index + 1}/${wanted.length}] ${names.join(', ')}: ${title}`);
    try {
      const found = await scenario.run(settings);
      const outcome = settings.isQuick ? { ...found, rows: withoutSpeedGoals(found.rows) } : found;
      measured.push({ scenario: { names, title }, outcome });
      // At once, so that an interrupted run has shown its results so far.
      if (!settings.json)
        for (const line of linesOf(outcome.rows, settings.isPart ? 'part: ' : '')) say(line);
    } catch (error) {
      measured.push({ scenario: { names, title }, outcome: { rows: [] }, error: sentenceOf(error) });
      complain(`${names.join(', ')} was not measured: ${sentenceOf(error)}`);
    }
    complain(`[${index + 1}/${wanted.length}] took ${Math.round((performance.now() - started) / 1000)} s`);
  }
  return measured;
}

function print(report: Report, settings: Arguments): void {
  const { measured, gaps, busy } = report;
  if (settings.json) {
    say(JSON.stringify({ complete: gaps.length === 0, ...report }));
    for (const gap of gaps) complain(gap);
  } else {
    for (const line of [...tablesOf(measured), ...summaryOf(report, settings)]) say(line);
  }
  if (busy !== undefined) complain(busy);
  if (!settings.writeDocs) return;
  if (gaps.length > 0) complain('No page was written: the run is not whole.');
  else if (busy !== undefined) complain('No page was written: the machine was busy.');
  else for (const path of writePages(report)) complain(`Wrote ${path}.`);
}

function tablesOf(measured: readonly Measured[]): readonly string[] {
  const cells = measured.flatMap(({ outcome }) => outcome.cells ?? []);
  const curves = measured.flatMap(({ outcome }) => outcome.curves ?? []);
  return [
    ...(cells.length === 0 ? [] : ['', ...terminalTable(cells)]),
    ...curves.flatMap(({ title, summary }) => ['', ...plot(title, summary)]),
    '',
  ];
}

function summaryOf(
  { machine, measured, gaps, seconds }: Report,
  { isQuick }: Pick<Arguments, 'isQuick'>,
): readonly string[] {
  const goals = goalsOf(measured);
  const met = goals.filter((row) => row.met === true).length;
  const whole = gaps.length === 0 ? 'A whole run' : 'NOT A WHOLE RUN';
  return [
    `${whole} in ${Math.round(seconds)} s at commit ${machine.commit}: ${met} of ${goals.length} ${isQuick ? 'checks of correctness' : 'goals'} met.`,
    machineLine(machine),
    ...gaps.map((gap) => `Lacking: ${gap}`),
  ];
}

function exitCodeOf({ gaps, busy, measured }: Report, settings: Arguments): number {
  const lacks = settings.isPart ? gaps.length > 1 : gaps.length > 0;
  if (lacks) return EXIT.notMeasured;
  // A busy machine and a small number of users do not affect the checks of a quick run.
  if (busy !== undefined && !settings.isQuick) return EXIT.busy;
  return goalsOf(measured).some((row) => row.met === false) ? EXIT.missed : EXIT.met;
}

function goalsOf(measured: readonly Measured[]): readonly Row[] {
  return measured.flatMap(({ outcome }) => outcome.rows.filter(({ goal }) => goal !== undefined));
}

function failuresOf(measured: readonly Measured[]): readonly string[] {
  return measured.flatMap(({ scenario, error }) =>
    error === undefined ? [] : [`${scenario.names.join(', ')} was not measured: ${error}`],
  );
}

function partSentence({ isQuick, only }: Arguments): string {
  const kind = isQuick ? 'a quick run with few users' : 'a part, or sizes of its own';
  return `this is ${kind} (${only.length} of ${NAMES.length} scenarios), not comparable with a whole run.`;
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** At once: Bun keeps the output of process.stdout to a file until the end. */
function say(line: string): void {
  writeSync(1, `${line}\n`);
}

/** Progress and faults. Standard output has only the figures. */
function complain(line: string): void {
  writeSync(2, `${line}\n`);
}
