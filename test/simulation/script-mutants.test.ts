import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Found, search } from '../support/model/search.ts';
import { NamedLink } from '../support/model/two-sides.ts';
import { readScriptMutants, type ScriptMutant } from '../support/script-mutants.ts';
import { playStory, STORY_NAMES, type StoryName } from '../support/script-stories.ts';
import { type RedisServer, startRedis } from '../support/services.ts';
import { replaced, timedScripts } from '../support/timed-scripts.ts';

const MUTANTS = readScriptMutants();
const SCRIPTS = new URL('../../src/presence/store/redis/scripts/', import.meta.url);
/** Used if the history in the list no longer shows a mutant, because it draws other commands by now. */
const MOST_COMMANDS = 12_000;
/** Several run side by side, because each one mostly waits for its Redis. */
const RUNNERS = 4;

describe('test/mutants/scripts.txt', () => {
  it('has mutants of every script', () => {
    const scripts = readdirSync(SCRIPTS).map((file) => file.replace('.lua', ''));
    expect(new Set(MUTANTS.map(({ part }) => part))).toEqual(new Set(scripts));
    expect(MUTANTS.length).toBeGreaterThan(200);
  });

  it('names text that occurs exactly once in the script', () => {
    const elsewhere = MUTANTS.filter(({ part, from }) => {
      const text = readFileSync(new URL(`${part}.lua`, SCRIPTS), 'utf8');
      return text.split(from).length !== 2;
    });
    expect(elsewhere).toEqual([]);
    expect(new Set(MUTANTS.map(({ part, from, to }) => `${part}\n${from}\n${to}`)).size).toBe(MUTANTS.length);
  });

  it('names every story, and no others', () => {
    const named = MUTANTS.flatMap(({ shownBy }) => (typeof shownBy === 'string' ? [shownBy] : []));
    expect(new Set(named)).toEqual(new Set(STORY_NAMES));
  });

  it('names rules of docs/SPEC.md', () => {
    const spec = readFileSync(new URL('../../docs/SPEC.md', import.meta.url), 'utf8');
    expect(MUTANTS.filter(({ rule }) => !spec.includes(`- **${rule}**`))).toEqual([]);
  });
});

/** How many commands or which kind of test showed a mutant. Undefined: nothing shows it. */
type Outcome = { readonly commands: number } | 'story' | undefined;

/** A runner with its own Redis: the model test reads and flushes whole databases. */
class Runner {
  readonly #redis: RedisServer;

  private constructor(redis: RedisServer) {
    this.#redis = redis;
  }

  static async open(): Promise<Runner> {
    return new Runner(await startRedis());
  }

  /** What the unchanged scripts do wrong in a history or a story that shows mutants. */
  async playUnchanged(shownBy: ScriptMutant['shownBy']): Promise<unknown> {
    return this.#with(timedScripts(), async (link) => {
      if (typeof shownBy === 'string') return failureOf(link, shownBy);
      return (await search(link, shownBy, once, false)).found?.report;
    });
  }

  async play(mutant: ScriptMutant): Promise<Outcome> {
    const { part, from, to, shownBy } = mutant;
    return this.#with(timedScripts(replaced(part, from, to)), async (link) => {
      if (typeof shownBy === 'string') return (await failureOf(link, shownBy)) && 'story';
      const { found, commands } = await search(link, shownBy, once, false);
      if (found !== undefined && differs(found)) return { commands };
      return this.#searchOn(link, mutant);
    });
  }

  /** Used if the history draws other commands by now. */
  async #searchOn(link: NamedLink, { part, name }: ScriptMutant): Promise<Outcome> {
    const { found, commands } = await search(link, 1, (soFar) => soFar.commands >= MOST_COMMANDS, false);
    if (found === undefined || !differs(found)) return undefined;
    process.stderr.write(`${part} ${name}: seed ${found.seed} shows it now\n`);
    return { commands };
  }

  async close(): Promise<void> {
    await this.#redis.stop();
  }

  async #with<T>(
    scripts: Readonly<Record<string, string>>,
    use: (link: NamedLink) => Promise<T>,
  ): Promise<T> {
    const link = new NamedLink({ url: this.#redis.url, timeoutMs: 60_000, scripts });
    await link.connect();
    try {
      return await use(link);
    } finally {
      await link.close();
    }
  }
}

/** Another answer, another state, an error in the script, or an invalid answer. A missing answer does not count. */
function differs({ report }: Found): boolean {
  return /^(Difference: |ReplyError: |Error: \w+\.lua answered )/m.test(report);
}

/** The failed assertion, or the answer with which the story cannot continue. */
async function failureOf(link: NamedLink, story: StoryName): Promise<Error | undefined> {
  try {
    await playStory(link, story);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

function once({ histories }: { readonly histories: number }): boolean {
  return histories >= 1;
}

/** Lends each runner to one test at a time. */
class Runners {
  readonly #all: Runner[] = [];
  readonly #free: Runner[] = [];
  readonly #waiting: ((runner: Runner) => void)[] = [];

  async open(): Promise<void> {
    this.#all.push(...(await Promise.all(Array.from({ length: RUNNERS }, () => Runner.open()))));
    this.#free.push(...this.#all);
  }

  async use<T>(work: (runner: Runner) => Promise<T>): Promise<T> {
    const runner = this.#free.pop() ?? (await new Promise<Runner>((take) => this.#waiting.push(take)));
    try {
      return await work(runner);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(runner);
      else next(runner);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((runner) => runner.close()));
  }
}

// One test for each mutant, and no work in a hook: a busy machine may take minutes for all of them, but not for one.
describe.concurrent('the model test', () => {
  const runners = new Runners();
  const counts: number[] = [];
  beforeAll(() => runners.open());
  afterAll(async () => {
    await runners.close();
    counts.sort((one, other) => one - other);
    process.stderr.write(
      `script mutants: ${counts.length} shown by the model test, half of them within ${counts[counts.length >> 1]} commands, all within ${counts.at(-1)}\n`,
    );
  });

  for (const shownBy of new Set(MUTANTS.map((mutant) => mutant.shownBy))) {
    const name = typeof shownBy === 'string' ? `the story ${shownBy}` : `the history of seed ${shownBy}`;
    it(`[PR13] finds nothing in the unchanged scripts by ${name}`, async () => {
      expect(await runners.use((runner) => runner.playUnchanged(shownBy))).toBeUndefined();
    });
  }

  for (const mutant of MUTANTS) {
    it(`[${mutant.rule}] finds it in ${mutant.part}.lua: ${mutant.name}`, async () => {
      const outcome = await runners.use((runner) => runner.play(mutant));
      expect(outcome).toBeDefined();
      if (typeof outcome === 'object') counts.push(outcome.commands);
    });
  }
});
