import { deepStrictEqual } from 'node:assert/strict';
import type { WorldRules } from '../../src/presence/rules/session-policy.ts';
import type { ClaimAnswer, Loss } from '../../src/presence/store/port.ts';
import { RedisPresenceStore } from '../../src/presence/store/redis/store.ts';
import { playFrames } from './frames-story.ts';
import { playGroupForeign, playGroupFrames } from './group-stories.ts';
import type { NamedLink } from './model/two-sides.ts';
import { claimOf, login, nothingLeft, state, takeLease } from './presence-subject.ts';
import { bringBack, dump, expireDue, keepCopy, setTime, wipe } from './timed-scripts.ts';

const BEGIN = 1_700_000_000_000;
const [USER, OTHER] = [7, 8];
const LONG_MS = 3_600_000;
/** For so long it is kept how a period ended, where its record is gone sooner. */
const HOUR_MS = 3_600_000;
const DEAD_AFTER_MS = 11_000;
const RESPONSIVE_LEFT_MS = 6000;
/** Less than what a script charges for at most. */
const STEP_MS = 1000;

/** Nodes a and b on the shipped scripts, on simulated time, in a world that is grown up. */
export class Stage {
  readonly link: NamedLink;
  readonly #stores = new Map<string, RedisPresenceStore>();
  readonly #policy: WorldRules['policy'];
  readonly #lastSeenTtlMs: number;
  /** What the calls since the last look took from nodes. */
  #lost: [node: string, losses: readonly Loss[]][] = [];
  now = BEGIN;

  constructor(link: NamedLink, policy: WorldRules['policy'], lastSeenTtlMs = LONG_MS) {
    this.link = link;
    this.#policy = policy;
    this.#lastSeenTtlMs = lastSeenTtlMs;
  }

  async begin(): Promise<void> {
    await setTime(this.link, this.now);
    await wipe(this.link);
    for (const node of ['a', 'b']) await takeLease(this.store(node));
    await this.pass(3000);
  }

  store(node: string): RedisPresenceStore {
    const known = this.#stores.get(node);
    if (known !== undefined) return known;
    const store = new RedisPresenceStore({
      ...{ link: this.link, node, prefix: '', policy: this.#policy, now: () => this.now },
      ...{
        maxConnectionsPerUser: 3,
        maxGroupsPerUser: 3,
        lastSeenTtlMs: this.#lastSeenTtlMs,
        responsiveLeftMs: RESPONSIVE_LEFT_MS,
      },
      ...{ deadAfterMs: DEAD_AFTER_MS, feedLength: 1000, timelineTtlMs: LONG_MS },
      lost: (lost) => this.#lost.push(...lost),
    });
    this.#stores.set(node, store);
    return store;
  }

  /** All of the time is charged; the nodes named go on renewing. */
  async pass(ms: number, living: readonly string[] = ['a', 'b']): Promise<void> {
    for (let left = ms; left > 0; left -= STEP_MS) {
      this.now += Math.min(STEP_MS, left);
      await setTime(this.link, this.now);
      for (const node of living) await takeLease(this.store(node));
    }
  }

  /** What the calls since the last look took from nodes, by node. */
  takeLost(): readonly (readonly [node: string, losses: readonly Loss[]])[] {
    const lost = this.#lost;
    this.#lost = [];
    return lost.sort(([left], [right]) => left.localeCompare(right));
  }

  async socket(node: string, rev: number, socketMs = LONG_MS): Promise<ClaimAnswer> {
    return state(this.store(node), claimOf(USER, { mode: 'socket', rev, socketMs }));
  }

  /** A period of the user ends on node b, 0.3 s ago; answers it. */
  async endsBy(reason: 'logout' | 'kick' | 'timeout'): Promise<number> {
    const b = this.store('b');
    const { period } = await login(b, claimOf(USER, { mode: 'http', rev: 1, httpMs: LONG_MS }));
    if (reason === 'timeout') await state(b, nothingLeft(USER, 2));
    else await b.end([{ userId: USER, reason, epoch: 0, proofAgeMs: -1 }]);
    await this.pass(300);
    return period;
  }

  /** SQL has all logouts. */
  async settle(): Promise<void> {
    const store = this.store('b');
    await store.ackDuties(await store.takeDuties(10));
    await expireDue(this.link, this.now + 2);
    await setTime(this.link, this.now);
  }

  /** The clock steps forward: what is due goes, and deadlines stay ahead. */
  async leap(ms: number): Promise<void> {
    this.now += ms;
    await expireDue(this.link, this.now);
    for (const node of ['a', 'b']) await takeLease(this.store(node));
  }

  /** Sockets come anew to node a; how that is answered. */
  async comesAnew(said: { readonly rev: number; readonly proofAgeMs: number; readonly epoch: number }) {
    const answer = await state(
      this.store('a'),
      claimOf(USER, { mode: 'socket', socketMs: LONG_MS, proofMark: 'p', ...said }),
    );
    return answer.kind;
  }
}

/** What the commands that the model test draws reach too seldom. Each throws where the scripts do otherwise. */
const STORIES = {
  async frames(link: NamedLink) {
    await playFrames(link, await begun(link, 'multi'));
  },

  async 'group-frames'(link: NamedLink) {
    await playGroupFrames(link, await begun(link, 'multi'));
  },

  async 'group-foreign'(link: NamedLink) {
    await playGroupForeign(link, await begun(link, 'replace'));
  },

  /** The answer to a claim or an end names what other nodes lost by it. */
  async losses(link: NamedLink) {
    const stage = await begun(link, 'replace');
    await stage.pass(1, ['a', 'b', 'c']);
    const socket = (userId: number, rev: number) =>
      claimOf(userId, { mode: 'socket', rev, socketMs: LONG_MS });
    await login(stage.store('a'), socket(USER, 3));
    await login(stage.store('b'), claimOf(USER, { mode: 'http', rev: 4 }));
    await login(stage.store('a'), socket(OTHER, 5));
    deepStrictEqual(stage.takeLost(), []);
    await stage.store('c').claim([socket(USER, 1), socket(OTHER, 2)]);
    deepStrictEqual(stage.takeLost(), [
      ['a', [USER, OTHER].map((userId) => ({ userId, rev: userId === USER ? 3 : 5, reason: 'replaced' }))],
      ['b', [{ userId: USER, rev: 4, reason: 'replaced' }]],
    ]);
    await stage.store('c').claim([socket(USER, 1)]);
    deepStrictEqual(stage.takeLost(), []);
    const asked = { reason: 'kick', epoch: 0, proofAgeMs: -1 } as const;
    const [ended] = await stage.store('c').end([{ userId: USER, ...asked, note: 'a|b' }]);
    deepStrictEqual(ended?.kind, 'ended');
    deepStrictEqual(stage.takeLost(), [['b', [{ userId: USER, rev: 4, reason: 'kick', note: 'a|b' }]]]);
    await stage.store('b').end([{ userId: OTHER, ...asked }]);
    deepStrictEqual(stage.takeLost(), [['c', [{ userId: OTHER, rev: 2, reason: 'kick' }]]]);
  },

  async 'sent-to-the-dead'(link: NamedLink) {
    const stage = await begun(link, 'replace');
    const { post } = stage.store('a');
    await stage.pass(1, ['a', 'b', 'c']);
    for (const node of ['b', 'c', 'c']) await post.tell(node, '"kind":"x"');
    const numbers = async () => (await dump(link)).get('lingxi:sent:a')?.content;
    await stage.pass(DEAD_AFTER_MS - 1, ['a', 'c']);
    await stage.store('c').reap(10);
    await stage.store('a').reap(10);
    deepStrictEqual(await numbers(), ['b', '1', 'c', '2']);
    await stage.pass(1, ['a', 'c']);
    await stage.store('c').reap(10);
    deepStrictEqual(await numbers(), ['b', '1', 'c', '2']);
    await stage.store('a').reap(10);
    deepStrictEqual(await numbers(), ['c', '2']);
  },

  async flapping(link: NamedLink) {
    const stage = await begun(link, 'replace');
    await login(stage.store('a'), claimOf(USER, { mode: 'socket', rev: 1, socketMs: LONG_MS }));
    const kinds: string[] = [];
    for (let rev = 2; rev <= 7; rev += 1)
      kinds.push((await stage.socket(rev % 2 === 0 ? 'b' : 'a', rev)).kind);
    deepStrictEqual(kinds, ['joined', 'joined', 'joined', 'joined', 'joined', 'refused']);
    await stage.pass(59_999);
    deepStrictEqual((await stage.socket('a', 8)).kind, 'refused');
    await stage.pass(1);
    deepStrictEqual((await stage.socket('a', 9)).kind, 'joined');
  },

  async 'reaped-socket'(link: NamedLink) {
    const stage = await begun(link, 'replace');
    await login(stage.store('b'), claimOf(USER, { mode: 'socket', rev: 1, socketMs: 20_000 }));
    await stage.pass(19_999, ['a']);
    deepStrictEqual((await stage.store('a').reap(10)).ended, []);
    await stage.pass(1, ['a']);
    deepStrictEqual((await stage.store('a').reap(10)).ended.length, 1);
  },

  async 'reaped-http'(link: NamedLink) {
    const stage = await begun(link, 'replace');
    await login(stage.store('b'), claimOf(USER, { mode: 'http', rev: 1, httpMs: 20_000 }));
    await stage.pass(19_999, ['a']);
    deepStrictEqual((await stage.store('a').reap(10)).ended, []);
    await stage.pass(1, ['a']);
    deepStrictEqual((await stage.store('a').reap(10)).ended.length, 1);
  },

  async timeline(link: NamedLink) {
    const stage = await begun(link, 'multi');
    await login(stage.store('a'), claimOf(USER, { mode: 'socket', rev: 1, socketMs: LONG_MS }));
    for (let rev = 2; rev <= 120; rev += 1) await stage.socket('a', rev);
    const found = (await dump(link)).get(`lingxi:tl:${USER}`)?.content as readonly unknown[];
    deepStrictEqual(found.length, 100);
  },

  async 'dead-node'(link: NamedLink) {
    const stage = await begun(link, 'replace');
    await login(stage.store('b'), claimOf(USER, { mode: 'socket', rev: 1, socketMs: LONG_MS }));
    await stage.pass(DEAD_AFTER_MS, ['a']);
    await stage.store('a').reap(10);
    const nodes = await stage.store('a').nodes.list();
    deepStrictEqual(nodes.map(({ node }) => node).sort(), ['a', 'b']);
  },

  async opening(link: NamedLink) {
    const stage = await begun(link, 'multi');
    const period = await opened(stage, 'a', 1);
    await stage.pass(1499);
    deepStrictEqual((await stage.socket('b', 1)).kind, 'young');
    await stage.pass(1);
    deepStrictEqual(await opened(stage, 'b', 2), period);
  },

  /** Redis fails over to another server, and back to the one that was left, with what it had then. */
  async 'leads-again'(link: NamedLink) {
    const stage = await begun(link, 'replace');
    const renew = () => stage.store('a').renew({ highestEpoch: 0, restored: true, acknowledged: [] });
    await keepCopy(link, 1);
    stage.link.run = 'run-2';
    deepStrictEqual((await renew()).restore, true);
    await bringBack(link, 1);
    stage.link.run = 'run-1';
    deepStrictEqual((await renew()).restore, true);
  },

  async withdrawn(link: NamedLink) {
    const stage = await begun(link, 'replace');
    const period = await opened(stage, 'a', 1);
    await stage.store('a').withdraw([{ userId: USER, period }]);
    deepStrictEqual((await dump(link)).has(`lingxi:u:${USER}`), false);
  },

  async 'withdrawn-by-one'(link: NamedLink) {
    const stage = await begun(link, 'multi');
    const period = await opened(stage, 'a', 1);
    await stage.pass(1500);
    deepStrictEqual(await opened(stage, 'b', 1), period);
    await stage.store('a').withdraw([{ userId: USER, period }]);
    deepStrictEqual(await stage.store('b').record([{ userId: USER, period }]), [true]);
  },

  async 'unstated-without-lease'(link: NamedLink) {
    const stage = await begun(link, 'replace');
    await login(stage.store('a'), claimOf(USER, { mode: 'socket', rev: 1, socketMs: LONG_MS }));
    deepStrictEqual(await stage.store('a').unstated(1), [USER]);
    stage.link.connection = '2';
    deepStrictEqual(await stage.store('a').unstated(1), []);
  },

  /** Sockets that the store had lost come anew after a logout. */
  async 'logged-out'(link: NamedLink) {
    for (const reason of ['logout', 'kick'] as const) {
      const stage = await begun(link, 'replace');
      const { now } = stage;
      await stage.endsBy(reason);
      const came = (rev: number, proofAgeMs: number, epoch = now) =>
        stage.comesAnew({ rev, proofAgeMs, epoch });
      deepStrictEqual(await came(2, 300), 'gone');
      deepStrictEqual(await came(3, 299), 'opened');
      deepStrictEqual(await came(4, 300), 'opened');
    }
    for (const reason of ['logout', 'timeout'] as const) {
      const stage = await begun(link, 'replace');
      const { now } = stage;
      await stage.endsBy(reason);
      const epoch = reason === 'logout' ? 0 : now;
      deepStrictEqual(await stage.comesAnew({ rev: 2, proofAgeMs: 300, epoch }), 'opened');
    }
    const stage = await begun(link, 'replace');
    const epoch = stage.now;
    await stage.endsBy('logout');
    await setTime(link, epoch - 1000);
    deepStrictEqual(await stage.comesAnew({ rev: 2, proofAgeMs: 300, epoch }), 'opened');
  },

  /** The record of the user is gone once the logout is settled. How the period ended is kept for an hour. */
  async 'record-gone'(link: NamedLink) {
    const [key, early, gone] = [`lingxi:ended:${USER}`, HOUR_MS - 300, 'gone'];
    for (const [ms, expected] of [
      [early, gone],
      [early + 1, 'opened'],
    ] as const) {
      const stage = await begun(link, 'replace', 0);
      const { now } = stage;
      const period = await stage.endsBy('logout');
      await stage.settle();
      deepStrictEqual((await dump(link)).has(`lingxi:u:${USER}`), false);
      deepStrictEqual(await stage.comesAnew({ rev: 2, proofAgeMs: 300, epoch: now }), gone);
      const restated = claimOf(USER, {
        mode: 'restate',
        rev: 3,
        period,
        loginTime: period,
        socketMs: LONG_MS,
      });
      deepStrictEqual((await state(stage.store('a'), restated)).kind, gone);
      await stage.leap(ms);
      deepStrictEqual((await dump(link)).has(key), expected === gone);
      deepStrictEqual(await stage.comesAnew({ rev: 4, proofAgeMs: 2 * HOUR_MS, epoch: now }), expected);
    }
    for (const foreign of ['garbage', '1|2|3|x|logout']) {
      const stage = await begun(link, 'replace', 0);
      const { now } = stage;
      await stage.endsBy('logout');
      await stage.settle();
      await link.client.set(key, foreign);
      deepStrictEqual(await stage.comesAnew({ rev: 2, proofAgeMs: 300, epoch: now }), 'opened');
      deepStrictEqual((await dump(link)).has(key), false);
    }
  },

  async 'http-just-over'(link: NamedLink) {
    const stage = await begun(link, 'replace');
    await login(stage.store('a'), claimOf(USER, { mode: 'http', rev: 1, httpMs: 5000 }));
    await stage.socket('b', 1, LONG_MS);
    deepStrictEqual(await holders(link), ['a', 'b']);
    await stage.pass(5000);
    await stage.socket('b', 2, LONG_MS);
    deepStrictEqual(await holders(link), ['b']);
  },

  async 'just-silent'(link: NamedLink) {
    const stage = await begun(link, 'reject');
    await login(stage.store('a'), claimOf(USER, { mode: 'socket', rev: 1, socketMs: 10_000 }));
    await stage.pass(10_000 - RESPONSIVE_LEFT_MS - 1);
    deepStrictEqual((await stage.socket('b', 1)).kind, 'refused');
    await stage.pass(1);
    deepStrictEqual((await stage.socket('b', 2)).kind, 'joined');
  },

  async 'just-not-responsive'(link: NamedLink) {
    const stage = await begun(link, 'reject');
    await login(stage.store('a'), claimOf(USER, { mode: 'socket', rev: 1, socketMs: LONG_MS }));
    await stage.pass(2999, ['b']);
    deepStrictEqual((await stage.socket('b', 1)).kind, 'refused');
    await stage.pass(1, ['b']);
    deepStrictEqual((await stage.socket('b', 2)).kind, 'joined');
  },
};

export type StoryName = keyof typeof STORIES;
export const STORY_NAMES = Object.keys(STORIES) as readonly StoryName[];

export function playStory(link: NamedLink, name: StoryName): Promise<void> {
  return STORIES[name](link);
}

async function begun(link: NamedLink, policy: WorldRules['policy'], lastSeenTtlMs = LONG_MS): Promise<Stage> {
  const stage = new Stage(link, policy, lastSeenTtlMs);
  await stage.begin();
  return stage;
}

/** Opens the user's period, or joins in opening it; answers the period. */
async function opened(stage: Stage, node: string, rev: number): Promise<number> {
  const answer = await stage.socket(node, rev);
  if (answer.kind !== 'opened') throw new Error(`answered ${answer.kind}`);
  return answer.period;
}

async function holders(link: NamedLink): Promise<readonly string[]> {
  const record = (await dump(link)).get(`lingxi:u:${USER}`)?.content as readonly string[];
  return record
    .filter((field) => field.startsWith('h:'))
    .map((field) => field.slice(2))
    .sort();
}
