import { describe, expect, it } from 'vitest';
import { runLedger } from '../../support/ledger/run-ledger.ts';

/** The seed replays the plan, but not the reaction of the processes to it. */
const SEED = Number(process.env['LEDGER_SEED'] ?? 20_260_801);

describe('the ledger of a deployment under faults', () => {
  it('[PR8] [PR9] [PR10] [PR11] [ST1] [ST2] [ST5] nothing is missing, double or stale, on two and three nodes', {
    timeout: 240_000,
  }, async () => {
    const outcome = await runLedger({
      seed: SEED,
      users: 240,
      timeoutMs: 2_000,
      httpTimeoutMs: 3_000,
      acts: [
        { runtimes: ['bun', 'node'], ms: 18_000 },
        { runtimes: ['bun'], ms: 14_000 },
      ],
      wipes: true,
      explains: 3,
    });
    process.stdout.write(`${outcome.table}\n`);
    expect(outcome.violations, `seed ${SEED}\n${outcome.histories}`).toEqual([]);
    // A deployment that accepts no users would prove nothing.
    expect(outcome.logins).toBeGreaterThan(1_000);
  });
});
