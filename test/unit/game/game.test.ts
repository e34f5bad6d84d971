import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Game, type Lingxi } from '../../../src/game/game.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { silentLog } from '../../../src/logging/log.ts';

type Handler = Parameters<Lingxi['manager']['handle']>[1];

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** A game whose users are all online, with counts of its calls and messages. */
function startGame({ offline = new Set<number>() }: { offline?: Set<number> } = {}) {
  const clock = new FakeClock();
  const dataDir = mkdtempSync(join(tmpdir(), 'lingxi-game-'));
  const handlers = new Map<string, Handler>();
  const asked = { reads: 0, users: 0, timelines: 0 };
  const pushes: { userId: number; type: string }[] = [];
  const loginTime = clock.now();
  const lingxi: Lingxi = {
    manager: {
      handle: (type, handler) => {
        handlers.set(type, handler);
        return () => handlers.delete(type);
      },
      sendToUser: (userId, type) => pushes.push({ userId, type }),
      isUserOnline: () => true,
    },
    presence: {
      read: async (userIds) => {
        asked.reads += 1;
        asked.users += userIds.length;
        return userIds.map((userId) =>
          offline.has(userId)
            ? { status: 'offline' as const, period: undefined, loginTime, logoutTime: loginTime }
            : { status: 'online' as const, period: 1, loginTime, logoutTime: undefined },
        );
      },
      timeline: async () => {
        asked.timelines += 1;
        return [];
      },
    },
  };
  const game = new Game(lingxi, { clock, log: silentLog, random: () => 0.5, dataDir });
  game.start();
  ends.push(async () => {
    await game.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });
  const say = (type: string, userId: number) =>
    handlers.get(type)?.({ connection: { userId, registration: { username: 'Ann' } }, message: {} });
  const pushed = (type: string, userId?: number) =>
    pushes.filter((push) => push.type === type && (userId === undefined || push.userId === userId)).length;
  return { clock, asked, say, pushed };
}

describe('the demo game under a flood of game:join', () => {
  it('a message causes no call to presence: the timer makes one call for all waiting users', async () => {
    const { clock, asked, say, pushed } = startGame();
    for (let count = 0; count < 1_000; count += 1) say('game:join', 7);
    expect(asked).toEqual({ reads: 0, users: 0, timelines: 0 });
    await clock.advanceAsync(200);
    expect(asked.users).toBe(1);
    expect(pushed('game:state', 7)).toBe(1);
  });

  it('a player gets at most one welcome a second, and requests in between are answered after it', async () => {
    const { clock, say, pushed } = startGame();
    for (let count = 0; count < 100; count += 1) {
      say('game:join', 7);
      await clock.advanceAsync(50);
    }
    expect(pushed('game:state', 7)).toBe(5);
    await clock.advanceAsync(3_000);
    expect(pushed('game:state', 7)).toBe(6);
  });

  it('a known player causes no read of the timeline', async () => {
    const { clock, asked, say } = startGame();
    for (let count = 0; count < 5; count += 1) {
      say('game:join', 7);
      await clock.advanceAsync(1_000);
    }
    expect(asked.timelines).toBe(0);
  });

  it('a user without a place is refused once a second, until a player goes offline', async () => {
    const offline = new Set<number>();
    const { clock, say, pushed } = startGame({ offline });
    for (let userId = 1; userId <= 500; userId += 1) say('game:join', userId);
    await clock.advanceAsync(2_000);
    expect(pushed('game:state')).toBe(500);
    for (let count = 0; count < 20; count += 1) say('game:join', 501);
    await clock.advanceAsync(2_000);
    expect(pushed('game:refused', 501)).toBe(1);
    offline.add(3);
    await clock.advanceAsync(2_000);
    say('game:join', 501);
    await clock.advanceAsync(1_000);
    expect(pushed('game:state', 501)).toBe(1);
  });

  it('a new player gets the leaderboard within about a second, without a separate sort', async () => {
    const { clock, say, pushed } = startGame();
    say('game:join', 7);
    await clock.advanceAsync(1_400);
    expect(pushed('leaderboard:update', 7)).toBe(1);
  });
});
