import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFakeClock, type FakeClock } from '../../support/faketime-binaries.ts';
import { eventually, sleep } from '../../support/ports.ts';
import { welcomeOf } from '../../support/presence-view.ts';
import {
  enter,
  figure,
  leaveAll,
  marksOf,
  missingOf,
  type StorePair,
  settledPeriod,
  startPair,
  type Visitor,
} from '../../support/store-pair.ts';
import { freshUser } from '../../support/stores.ts';

const TIMEOUT_MS = 10_000;
const HOUR_S = 3_600;
/** A timeout is detected within this time, including the time of its claim (rule HB4, with some time for two busy cores). */
const LATE_MS = 1_000;

const fresh = (count: number): readonly number[] => Array.from({ length: count }, freshUser);

describe('the clock of Redis jumps', () => {
  let folder: string;
  let clock: FakeClock;
  let pair: StorePair;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'lingxi-clock-'));
    clock = await createFakeClock(join(folder, 'clock'));
    pair = await startPair({
      timeoutMs: TIMEOUT_MS,
      redis: { env: clock.env },
      env: { LINGXI_PING_INTERVAL_MS: '3000' },
    });
  });
  afterAll(async () => {
    await pair?.stop();
    clock?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const redisAheadS = async (): Promise<number> => {
    const [seconds] = (await pair.redis.cli('TIME')).split('\n');
    return Math.round(Number(seconds) - Date.now() / 1000);
  };
  const enterBoth = async (count: number): Promise<readonly Visitor[]> => [
    ...(await enter(pair.bun, fresh(count))),
    ...(await enter(pair.node, fresh(count))),
  ];

  /** Moves the clock and checks that Redis sees it. */
  async function move(aheadS: number): Promise<void> {
    clock.set(aheadS);
    await eventually(async () => expect(Math.abs((await redisAheadS()) - aheadS)).toBeLessThan(3));
  }

  /** No user who sends heartbeats is logged out for two timeouts, and a silent user is detected after exactly one. */
  async function expectTrueTimeouts(visitors: readonly Visitor[]): Promise<void> {
    const marks = await marksOf(pair);
    const [silent, lingering, ...staying] = visitors;
    if (silent === undefined || lingering === undefined) return expect.fail('nobody');
    silent.silence();
    lingering.client.terminate();
    const from = performance.now();
    const offlineAfter = async (user: number): Promise<number> => {
      await eventually(async () => expect(await pair.node.status(user)).toBe('offline'), {
        timeoutMs: TIMEOUT_MS * 2,
        intervalMs: 50,
      });
      return performance.now() - from;
    };
    const [found, lingered, closed] = await Promise.all([
      offlineAfter(silent.user),
      offlineAfter(lingering.user),
      silent.client.closed,
    ]);
    expect(closed.code).toBe(4100);
    for (const ms of [found, lingered, closed.at - from]) {
      // The last heartbeat was sent up to 400 ms before.
      expect(ms).toBeGreaterThan(TIMEOUT_MS - 450);
      expect(ms).toBeLessThan(TIMEOUT_MS + LATE_MS);
    }
    figure(`timed out after ${Math.round(found)} and, lingering, ${Math.round(lingered)} ms`);
    await sleep(TIMEOUT_MS);
    expect(await missingOf(pair.redis, staying)).toEqual([]);
    const logged = pair.both.map((node, index) => node.loggedSoFar('logged-out', marks[index]));
    const ended = (await Promise.all(logged)).flat();
    expect(ended.map((line) => Number(line['userId'])).sort((a, b) => a - b)).toEqual(
      [silent.user, lingering.user].sort((a, b) => a - b),
    );
    for (const { user, welcome } of staying) {
      expect(await pair.periods(user)).toMatchObject([{ period: welcome.period, settledAt: null }]);
    }
    for (const user of [silent.user, lingering.user]) {
      const row = await settledPeriod(pair, user);
      expect(row.logoutAt).toBeGreaterThanOrEqual(row.loginAt);
      expect(row.userTime).toBeGreaterThanOrEqual(row.loginAt);
    }
  }

  /** Epochs and periods continue to rise, whatever the clock is (rules PR2, PR3). */
  async function expectRising(before: readonly Visitor[]): Promise<void> {
    const highest = Math.max(...before.map(({ welcome }) => welcome.epoch));
    const visitor = before.at(-1) ?? expect.fail('nobody');
    const newer = await pair.bun.v1(visitor.user);
    const joined = await welcomeOf(newer);
    expect(joined).toMatchObject({ period: visitor.welcome.period, resumed: true });
    expect(joined.epoch).toBeGreaterThan(highest);
    expect((await visitor.client.closed).code).toBe(4001);
    expect((await pair.node.logout(visitor.user)).status).toBe(200);
    await settledPeriod(pair, visitor.user);
    const again = await pair.node.v1(visitor.user);
    const reopened = await welcomeOf(again);
    expect(reopened.resumed).toBe(false);
    expect(reopened.period).toBeGreaterThan(joined.period);
    expect(reopened.epoch).toBeGreaterThan(joined.epoch);
    again.terminate();
  }

  it('[scenario 31] [HB5] [PR10] the clock of Redis jumps 8 h ahead: nobody is logged out', async () => {
    const visitors = await enterBoth(20);
    await move(8 * HOUR_S);
    await expectTrueTimeouts(visitors);
    await expectRising(visitors);
    leaveAll(visitors);
    await sleep(TIMEOUT_MS + 2_000);
  });

  it('[scenario 32] [HB5] [PR3] the clock of Redis jumps 1 h back: timeouts are still 10 s, epochs rise', async () => {
    const visitors = await enterBoth(20);
    await move(7 * HOUR_S);
    await expectTrueTimeouts(visitors);
    await expectRising(visitors);
    leaveAll(visitors);
  });
});
