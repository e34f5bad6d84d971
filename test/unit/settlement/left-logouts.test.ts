import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Log, silentLog } from '../../../src/logging/log.ts';
import type { Duty } from '../../../src/protocol/periods.ts';
import { keepLeftLogouts, settleLeftLogouts } from '../../../src/settlement/left-logouts.ts';
import { UsersLocked } from '../../../src/settlement/user-store.ts';

const NODE = 'a:1';
const FILE = 'left-logouts.json';

const dutyOf = (userId: number): Duty => ({
  id: `${userId}:1`,
  userId,
  period: 1,
  loginAt: 1,
  logoutAt: 2,
  lastSeenAt: 2,
  reason: 'logout',
  node: NODE,
});

const left = (...users: number[]) => ({ node: NODE, aliveAt: 5, duties: users.map(dutyOf) });

describe('logouts that SQL had not accepted at the stop', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lingxi-left-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** Starts on a database where `refuse` may prevent writes. */
  async function start(refuse: (duties: readonly Duty[]) => Error | undefined = () => undefined) {
    const settled: number[] = [];
    const lives: unknown[] = [];
    const aside: unknown[] = [];
    const log: Log = { ...silentLog, error: ({ userId }) => void aside.push(userId) };
    const users = {
      settle: (duties: readonly Duty[]) => {
        const error = refuse(duties);
        if (error !== undefined) return Promise.reject(error);
        settled.push(...duties.map(({ userId }) => userId));
        return Promise.resolve();
      },
      noteNodeAlive: (...life: unknown[]) => Promise.resolve(void lives.push(life)),
    };
    await settleLeftLogouts(folder, { users, now: () => 9, log });
    return { settled, lives, aside };
  }

  it('[ST1] the next start settles them once, with the last sign of life of the process', async () => {
    keepLeftLogouts(folder, left(1, 2));
    expect(await start()).toEqual({ settled: [1, 2], lives: [[NODE, 5]], aside: [] });
    expect(await start()).toEqual({ settled: [], lives: [], aside: [] });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('[ST1] a second stop keeps them beside its own', async () => {
    keepLeftLogouts(folder, left(1));
    keepLeftLogouts(folder, left(2));
    expect((await start()).settled).toEqual([1, 2]);
  });

  it('[ST7] those of locked users wait for the following start', async () => {
    keepLeftLogouts(folder, left(1, 2, 3));
    const isLocked = (duties: readonly Duty[]) =>
      duties.some(({ userId }) => userId === 2) ? new UsersLocked(new Set([2]), undefined) : undefined;
    expect((await start(isLocked)).settled).toEqual([1, 3]);
    expect((await start()).settled).toEqual([2]);
  });

  it('[ST7] one that SQL refuses permanently delays no other one', async () => {
    keepLeftLogouts(folder, left(1, 2, 3));
    const isPoison = (duties: readonly Duty[]) =>
      duties.some(({ userId }) => userId === 2)
        ? Object.assign(new Error('check'), { code: '23514' })
        : undefined;
    expect(await start(isPoison)).toMatchObject({ settled: [1, 3], aside: [2] });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('[ST1] stay in the file while SQL fails', async () => {
    keepLeftLogouts(folder, left(1));
    await expect(start(() => new Error('away'))).rejects.toThrow('away');
    expect((await start()).settled).toEqual([1]);
  });

  it.each([
    '',
    '{',
    '[]',
    '{"node":"a","aliveAt":1,"duties":{}}',
    '{"node":"a","aliveAt":1,"duties":[null]}',
    '{"node":"a","aliveAt":1,"duties":[{}]}',
    'null',
  ])('[ST1] a file that says %j refuses the start and stays', async (text) => {
    writeFileSync(join(folder, FILE), text);
    await expect(start()).rejects.toThrow(/left-logouts\.json cannot be read .*remove it/);
    expect(readFileSync(join(folder, FILE), 'utf8')).toBe(text);
  });
});
