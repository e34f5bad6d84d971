import { describe, expect, it } from 'vitest';
import { findingLines } from '../support/fuzz/finding-lines.ts';
import { type RunSettings, runAttacks } from '../support/fuzz/run.ts';

/** `LINGXI_TEST_SEED` replays a failed run. The message of the failure has the seed. */
const SEED = Number(process.env['LINGXI_TEST_SEED'] ?? Date.now() % 2 ** 31);
/** A part of the inputs of `npm run abuse`, for about 15 s. */
const COUNTS = { frames: 20_000, json: 1_000, handshakes: 300, bus: 300 };
/** Both runtimes share the cores with other test files: only a stall of the server takes this long. */
const STALL_MS = 2_500;
const GROWTH_MB = 200;
const MAX_MESSAGE_BYTES = 262_144;

function settingsFor(runtime: RunSettings['runtime']): RunSettings {
  return {
    runtime,
    seed: SEED,
    counts: COUNTS,
    stallMs: STALL_MS,
    growthMb: GROWTH_MB,
    maxMessageBytes: MAX_MESSAGE_BYTES,
    isHasty: true,
  };
}

describe.concurrent(`random inputs of seed ${SEED}`, () => {
  it.each(['bun', 'node'] as const)(
    'end no process on %s, delay no other client, and leave nothing behind',
    { timeout: 300_000 },
    async (runtime) => {
      const settings = settingsFor(runtime);
      const report = await runAttacks(settings);
      const found = [
        ...report.findings.flatMap((finding) => findingLines(finding, settings)),
        ...report.leaks,
      ];
      expect(found, `LINGXI_TEST_SEED=${SEED}`).toEqual([]);
      // The inputs did arrive: most connections were accepted, and every push after the texts was delivered.
      const answers = new Map(report.attacks.map((attack) => [attack.kind, attack.answers]));
      expect(answers.get('handshakes')?.get('status 101')).toBeGreaterThan(0);
      expect(answers.get('bus')?.get('heard')).toBeGreaterThan(0);
    },
  );
});
