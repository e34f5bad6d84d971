import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../support/services.ts';
import { replaced, type ScriptMutation } from '../support/timed-scripts.ts';
import type { Fault } from './faults.ts';
import { History } from './history.ts';
import { ScriptRunner } from './script-runner.ts';
import { simulate } from './simulator-program.ts';

/** Histories with many faults, whichever nodes and users they have. */
const COMPARED = [2, 3];
const COMPARED_SEED = 1;
/** A changed line of a script must be found within this many histories, from its first one on. */
const ENOUGH_HISTORIES = 100;
const CHANGED_SEED = 5;

/** One changed line of a script. `faults` are those of the histories, if random faults would take too long to show it. */
interface Changed {
  readonly name: string;
  readonly mutation: ScriptMutation;
  readonly faults?: readonly Fault[];
  /**
   * A history that shows it, if the first few do not. If the number draws another history by now, the search goes on from there.
   */
  readonly first?: number;
}

const CHANGED: readonly Changed[] = [
  {
    name: '[PR8] a returned node stays in the list of dead nodes',
    mutation: replaced('renew', "call('HDEL', DEAD, node)", ''),
    faults: ['cut'],
    first: 29,
  },
  {
    name: '[PR8] a late renewal of an older connection takes the lease back',
    mutation: replaced('renew', 'if before and (tonumber', 'if false and (tonumber'),
    first: 30,
  },
  {
    name: '[PR4] [PR9] a claim takes over nobody',
    mutation: replaced('claim', 'tonumber(h.epoch) > tonumber(c.epoch)', 'false'),
    first: 22,
  },
  {
    name: '[PR4] the flapping window never ends',
    mutation: replaced('claim', 'observed - FLAPPING_WINDOW_MS', '0'),
    first: 49,
  },
  {
    name: '[PR4] a silent node refuses newcomers',
    mutation: replaced('claim', 'observed - entry.seen < RESPONSIVE_MS', 'true'),
    faults: ['kill', 'freeze'],
  },
  {
    name: '[PR11] the young window is short',
    mutation: replaced('prelude', 'YOUNG_MS = 2000', 'YOUNG_MS = 300'),
  },
  {
    name: '[PR11] a stall does not renew the young window',
    mutation: replaced('prelude', 'wall - reading > STALL_MS and', 'false and'),
  },
  {
    name: '[PR2] a login waits 15 s for an opening on another node',
    mutation: replaced('claim', 'OPENING_MS = 1500', 'OPENING_MS = 15000'),
    faults: ['kill', 'sql-slow'],
  },
  {
    name: '[PR3] joining mints an epoch below the highest one',
    mutation: replaced(
      'claim',
      'r.epoch = math.max(wall, r.epoch + 1, high + 1)\n',
      'r.epoch = math.max(wall, r.epoch + 1)\n',
    ),
    faults: ['step-redis', 'failover'],
  },
  {
    name: '[ST5] the proof of a released hold is lost',
    mutation: replaced('prelude', 'r.proof = math.max(r.proof, h.proof)', ''),
  },
  {
    name: '[ST5] the deadline of a released hold is lost',
    mutation: replaced('prelude', 'r.till = math.max(r.till, h.till)', ''),
  },
  {
    name: '[PR11] the record of a restored period expires',
    mutation: replaced('claim', "r.recorded = true\n  call('PERSIST', user_key(r.id))", 'r.recorded = true'),
    faults: ['failover'],
    first: 2,
  },
];

describe('the simulator on the real scripts', () => {
  let redis: RedisServer;

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(async () => {
    await redis?.stop();
  });

  /** Gives `work` the scripts, with one changed line if `mutation` is set. */
  async function withScripts<Value>(
    work: (runner: ScriptRunner) => Promise<Value>,
    mutation?: ScriptMutation,
  ): Promise<Value> {
    const runner = new ScriptRunner(redis.port, mutation);
    try {
      return await work(runner);
    } finally {
      await runner.close();
    }
  }

  it.each(COMPARED)(
    'history %i is the same each time, on Node and on the runtime of the program',
    async (history) => {
      const traces: string[] = [];
      await withScripts(async (runner) => {
        for (let time = 0; time < 2; time += 1) {
          const trace: string[] = [];
          await new History({ seed: COMPARED_SEED, history, runner, trace }).run();
          traces.push(trace.join('\n'));
        }
      });
      const [first = '', second = ''] = traces;
      expect(first.length).toBeGreaterThan(1000);
      expect(second).toBe(first);
      const { output } = await simulate(
        '--real-scripts',
        '--seed',
        `${COMPARED_SEED}`,
        '--history',
        `${history}`,
      );
      expect(output.slice(0, first.length)).toBe(first);
    },
  );

  describe('finds a changed line of a script', () => {
    it.each(CHANGED.map((changed) => [changed.name, changed] as const))('%s', async (_, changed) => {
      const { mutation, faults, first = 0 } = changed;
      const chosen = faults === undefined ? {} : { faults };
      const found = await withScripts(async (runner) => {
        for (let history = first; history < first + ENOUGH_HISTORIES; history += 1) {
          const played = new History({ seed: CHANGED_SEED, history, runner, ...chosen });
          const { violations } = await played.run();
          if (violations[0] === undefined) continue;
          if (history > first) process.stdout.write(`  history ${history} shows it, not ${first}\n`);
          return violations[0];
        }
        return 'nothing';
      }, mutation);
      expect(found).toContain('[PR13]');
    });
  });
});
