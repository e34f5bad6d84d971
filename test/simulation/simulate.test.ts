import { describe, expect, it } from 'vitest';
import { History, type HistoryReport } from './history.ts';

const HISTORIES = Number(process.env['SIMULATE_HISTORIES'] ?? 440);
const SEED = Number(process.env['SIMULATE_SEED'] ?? 1);
/** One history alone, with its trace. */
const ONLY = process.env['SIMULATE_HISTORY'];
const MAX_FAILURES = 5;
const TRACE_LINES = Number(process.env['SIMULATE_TRACE_LINES'] ?? 120);

async function replayed({ seed, history }: HistoryReport): Promise<string> {
  const trace: string[] = [];
  const { violations } = await new History({ seed, history, trace }).run();
  return [`seed ${seed} history ${history}`, ...violations, ...trace.slice(-TRACE_LINES)].join('\n');
}

describe('the simulator', () => {
  it(`[PR7] [ST2] ${HISTORIES} random histories of seed ${SEED} break no rule`, {
    timeout: 3_600_000,
  }, async () => {
    const failures: HistoryReport[] = [];
    const first = ONLY === undefined ? 0 : Number(ONLY);
    const end = ONLY === undefined ? HISTORIES : first + 1;
    const began = performance.now();
    for (let history = first; history < end && failures.length < MAX_FAILURES; history += 1) {
      const report = await new History({ seed: SEED, history }).run();
      if (report.violations.length > 0) failures.push(report);
    }
    const perSecond = (end - first) / ((performance.now() - began) / 1000);
    if (process.env['SIMULATE_HISTORIES'] !== undefined)
      process.stdout.write(`${end - first} histories, ${perSecond.toFixed(1)} a second\n`);
    const [worst] = failures;
    const shown = worst === undefined ? '' : await replayed(worst);
    const listed = failures.map(
      ({ seed, history, violations }) => `seed ${seed} history ${history}: ${violations[0]}`,
    );
    expect(failures, `${listed.join('\n')}\n\n${shown}`).toEqual([]);
  });
});
