import { describe, expect, it } from 'vitest';
import { History } from './history.ts';
import { simulate } from './simulator-program.ts';

/** `random-histories.test.ts` plays more of them. */
const HISTORIES = 500;
const SEED = 1;
/** Histories of various lengths, all with faults. */
const COMPARED = [1, 2, 3, 5, 8];

async function traceOf(history: number): Promise<string> {
  const trace: string[] = [];
  await new History({ seed: SEED, history, trace }).run();
  return trace.join('\n');
}

describe('the simulator', () => {
  it(`[PR7] [ST2] the first ${HISTORIES} random histories of seed ${SEED} break no rule`, async () => {
    const { output, code } = await simulate(
      ...['--histories', `${HISTORIES}`, '--seed', `${SEED}`, '--workers', '1'],
    );
    expect(code, output).toBe(0);
    expect(output).toContain(`${HISTORIES} histories of seed ${SEED}, 0 violations`);
  });

  /**
   * Seed 5: a node is cut off, then Redis stalls for all. Seed 6: a failover brings openings back; a wipe, then a failover to an
   * earlier state.
   */
  it.each([
    [5, 3917],
    [6, 168],
    [6, 740],
    [6, 1213],
  ])('[ST4] [ST5] [PR2] history %i/%i, which once broke a rule, breaks none', async (seed, history) => {
    expect((await new History({ seed, history }).run()).violations).toEqual([]);
  });

  it.each(COMPARED)(
    'history %i is the same each time, on Node and on the runtime of the program',
    async (history) => {
      const trace = await traceOf(history);
      expect(trace.length).toBeGreaterThan(1000);
      expect(await traceOf(history)).toBe(trace);
      const { output } = await simulate('--seed', `${SEED}`, '--history', `${history}`);
      expect(output.slice(0, trace.length)).toBe(trace);
    },
  );
});
