import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Searched, search } from '../support/model/search.ts';
import { NamedLink } from '../support/model/two-sides.ts';
import { type RedisServer, startRedis } from '../support/services.ts';
import { replaced, type ScriptMutation, timedScripts } from '../support/timed-scripts.ts';

/** `LINGXI_TEST_SEED` plays a failed history again, and then the histories of the next seeds. */
const SEED = Number(process.env['LINGXI_TEST_SEED'] ?? Date.now() % 2 ** 31);
const FIXED_SEED = 1;
const USUAL_COMMANDS = 4000;
/** `LINGXI_TEST_COMMANDS` sets the number of commands from fresh seeds. */
const COMMANDS = Number(process.env['LINGXI_TEST_COMMANDS'] ?? USUAL_COMMANDS);
const FIXED_COMMANDS = 1000;
/** Undefined: the usual limit. */
const TIMEOUT_MS = COMMANDS > USUAL_COMMANDS ? 24 * 3_600_000 : undefined;
/** A broken line shows itself within this many commands. */
const BROKEN_COMMANDS = 5000;

describe('[PR13] the scripts against the rules of src/presence/rules', () => {
  let redis: RedisServer;
  const links: NamedLink[] = [];
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(async () => {
    await Promise.all(links.map((link) => link.close()));
    await redis?.stop();
  });

  async function openLink(mutation?: ScriptMutation): Promise<NamedLink> {
    const link = new NamedLink({ url: redis.url, timeoutMs: 60_000, scripts: timedScripts(mutation) });
    await link.connect();
    links.push(link);
    return link;
  }

  function expectNone(seed: number, { histories, commands, found }: Searched): void {
    process.stderr.write(`model test: ${commands} commands in ${histories} histories from seed ${seed} on\n`);
    if (found !== undefined) expect.fail(`LINGXI_TEST_SEED=${found.seed} plays this again:\n${found.report}`);
    expect(commands).toBeGreaterThan(0);
  }

  it(
    'the same commands get the same answers and leave the same state, expiries included',
    async () => {
      const link = await openLink();
      expectNone(SEED, await search(link, SEED, ({ commands }) => commands >= COMMANDS));
    },
    TIMEOUT_MS,
  );

  it(
    'the commands of a fixed seed do so too',
    async () => {
      const link = await openLink();
      expectNone(FIXED_SEED, await search(link, FIXED_SEED, ({ commands }) => commands >= FIXED_COMMANDS));
    },
    TIMEOUT_MS,
  );

  it.each([
    ['prelude', 'math.max(1, last_seen_ttl, r.block - observed)', 'math.max(1, last_seen_ttl)'],
    ['claim', "if c.epoch == '0' or policy == 'multi' then return false end", 'do return false end'],
    ['end', 'epoch < r.epoch then', 'epoch <= r.epoch then'],
  ] as const)(
    'the test finds a broken line: %s.lua with %s',
    async (part, line, broken) => {
      const link = await openLink(replaced(part, line, broken));
      const { found } = await search(link, FIXED_SEED, ({ commands }) => commands >= BROKEN_COMMANDS, false);
      expect(found?.report).toContain('Difference');
    },
    TIMEOUT_MS,
  );
});
