import { Random } from '../../simulation/random.ts';
import type { Runtime } from '../gateway-process.ts';
import { type Evidence, leftoversOf, readBooks } from './books.ts';
import { explain } from './explain.ts';
import { UserFacts } from './facts.ts';
import { hurt } from './faults.ts';
import { FeedReader } from './feed.ts';
import { PagePlayer } from './page-player.ts';
import { Player, pause } from './player.ts';
import { Site } from './site.ts';
import { tableOf } from './table.ts';
import { judge, type Violation } from './verdict.ts';

export interface LedgerOptions {
  readonly seed: number;
  readonly users: number;
  readonly timeoutMs: number;
  readonly httpTimeoutMs: number;
  /** Runtimes of the nodes, one stage after the other. Each further stage adds its nodes to the running ones. */
  readonly acts: readonly { readonly runtimes: readonly Runtime[]; readonly ms: number }[];
  /** Ends with a Redis that loses everything while all users are active. */
  readonly wipes: boolean;
  /** Largest number of faulty users whose histories are written. */
  readonly explains: number;
}

export interface LedgerOutcome {
  readonly violations: readonly Violation[];
  readonly logins: number;
  /** The events and the findings, for people. */
  readonly table: string;
  /** The histories of the first faulty users. */
  readonly histories: string;
}

const SHARES = { v1: 6, seed: 2, page: 2 };
/** By then everything that ended is settled: timeouts, dead nodes, and periods that only the reconciler finds. */
const SETTLED_WITHIN_MS = 60_000;

/** Runs `users` against a new deployment with faults, lets it recover, and judges. */
export async function runLedger(options: LedgerOptions): Promise<LedgerOutcome> {
  const [first, ...later] = options.acts;
  const site = await Site.open({ ...options, runtimes: first?.runtimes ?? [] });
  try {
    const random = new Random(options.seed);
    const feed = new FeedReader(site);
    feed.start();
    const play = new Play(site, options.users, random);
    await hurtFor(site, random, first?.ms ?? 0);
    for (const act of later) {
      for (const runtime of act.runtimes) await site.addNode(runtime);
      await hurtFor(site, random, act.ms);
    }
    if (options.wipes) {
      await pause(2 * options.timeoutMs);
      await site.wipeRedis();
      await pause(2 * options.timeoutMs);
    }
    const users = await play.end();
    await settled(site);
    await feed.stop();
    return await outcomeOf({ site, users, options, evidence: { ...(await readBooks(site)), feed } });
  } finally {
    await site.close();
  }
}

/** All users at once, each with its own random generator, so that the actions of one do not depend on the timing of others. */
class Play {
  readonly #users: UserFacts[] = [];
  readonly #plays: Promise<void>[] = [];
  #isOver = false;

  constructor(site: Site, users: number, random: Random) {
    for (let userId = 1; userId <= users; userId += 1) {
      const facts = new UserFacts(userId);
      this.#users.push(facts);
      const kind = random.weighted(SHARES);
      const own = new Random(random.int(0, 2 ** 31));
      const common = { site, facts, random: own, isOver: () => this.#isOver };
      const player =
        kind === 'page' ? new PagePlayer(common) : new Player({ ...common, speaksV1: kind === 'v1' });
      this.#plays.push(player.play());
    }
  }

  async end(): Promise<readonly UserFacts[]> {
    this.#isOver = true;
    await Promise.all(this.#plays);
    return this.#users;
  }
}

async function hurtFor(site: Site, random: Random, ms: number): Promise<void> {
  const until = Date.now() + ms;
  await hurt(site, random, () => Date.now() >= until);
}

/** After the time that the rules allow, whatever is left is judged. */
async function settled(site: Site): Promise<void> {
  const until = Date.now() + SETTLED_WITHIN_MS;
  while (Date.now() < until && (await leftoversOf(site)).length > 0) await pause(200);
}

async function outcomeOf(result: {
  readonly site: Site;
  readonly users: readonly UserFacts[];
  readonly options: LedgerOptions;
  readonly evidence: Evidence;
}): Promise<LedgerOutcome> {
  const { site, users, options, evidence } = result;
  const timeouts = { socket: options.timeoutMs, http: options.httpTimeoutMs };
  const violations = judge({ users, evidence, world: site.world, timeouts });
  const guilty = [...new Set(violations.map(({ userId }) => userId))].slice(0, options.explains);
  const histories = await Promise.all(
    guilty.map((userId) => explain(site, users[userId - 1] ?? new UserFacts(userId), evidence)),
  );
  return {
    violations,
    logins: users.reduce(
      (sum, { logins }) => sum + logins.filter(({ outcome }) => outcome === 'in').length,
      0,
    ),
    table: tableOf({ ...result, violations }),
    histories: histories.join('\n\n'),
  };
}
