import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { RevocationFile } from '../../../src/gateway/revocation-file.ts';
import {
  MAX_REVOCATIONS,
  type Revocation,
  type RevocationStore,
  Revocations,
} from '../../../src/gateway/revocations.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import type { LogFields } from '../../../src/logging/log.ts';

const DAY_MS = 86_400_000;
const SYNC_MS = 500;

/** A store like Redis: it may be away, lose writes, and lose everything. */
class Store implements RevocationStore {
  readonly kept = new Map<number, number>();
  changes: Revocation[] = [];
  isAway = false;
  losesWrites = false;
  forgotten: number | undefined;
  #readAll = true;

  async put(revocations: readonly Revocation[]): Promise<void> {
    if (this.isAway) throw new Error('away');
    if (this.losesWrites) return;
    for (const { userId, at } of revocations) this.kept.set(userId, Math.max(at, this.kept.get(userId) ?? 0));
    this.changes.push(...revocations);
  }

  async read(): ReturnType<RevocationStore['read']> {
    if (this.isAway) throw new Error('away');
    const isAll = this.#readAll;
    const revocations = isAll ? [...this.kept].map(([userId, at]) => ({ userId, at })) : this.changes;
    this.#readAll = false;
    this.changes = [];
    return { revocations, isAll };
  }

  async forget(at: number): Promise<void> {
    this.forgotten = at;
  }

  wipe(): void {
    this.kept.clear();
    this.changes = [];
    this.#readAll = true;
  }
}

function open(store: Store, clock = new FakeClock()) {
  const revoked: Revocation[] = [];
  const logged: LogFields[] = [];
  const note = (fields: LogFields): void => void logged.push(fields);
  const revocations = new Revocations({
    store,
    clock,
    log: { debug: note, info: note, warn: note, error: note },
    retentionMs: 90 * DAY_MS,
    revoked: (revocation) => void revoked.push(revocation),
  });
  return { revocations, revoked, logged, clock };
}

describe('revocations', () => {
  it('[CR3] void tokens that were issued at their time or earlier, or have no iat', async () => {
    const { revocations, revoked, clock } = open(new Store());
    await revocations.start();
    const at = clock.now();
    expect(await revocations.revoke(7)).toEqual({ at, isKept: true });
    expect(revoked).toEqual([{ userId: 7, at }]);
    const verdict = (issuedAt: number | undefined) => revocations.isRevoked({ userId: 7, issuedAt });
    expect([at - 1, at, at + 1, undefined].map(verdict)).toEqual([true, true, false, true]);
    expect(revocations.isRevoked({ userId: 8, issuedAt: undefined })).toBe(false);
  });

  it('[CR3] another node learns of them at its next read, and of each only once', async () => {
    const store = new Store();
    const { revocations, revoked, clock } = open(store);
    await revocations.start();
    const revocation = { userId: 7, at: clock.now() };
    await store.put([revocation, { userId: 7, at: revocation.at - 5 }]);
    await clock.advanceAsync(SYNC_MS);
    await store.put([revocation]);
    await clock.advanceAsync(SYNC_MS);
    expect(revoked).toEqual([revocation]);
  });

  it('[CR3] a node that has not read the store yet reports that, and reads it as soon as it answers', async () => {
    const store = new Store();
    await store.put([{ userId: 7, at: new FakeClock().now() }]);
    store.isAway = true;
    const { revocations, logged, clock } = open(store);
    await revocations.start();
    await clock.advanceAsync(3 * SYNC_MS);
    expect(revocations.isLoaded).toBe(false);
    expect(logged.map(({ event }) => event)).toEqual(['revocation']);
    store.isAway = false;
    await clock.advanceAsync(SYNC_MS);
    expect([revocations.isLoaded, revocations.isRevoked({ userId: 7 })]).toEqual([true, true]);
    expect(logged.map(({ event }) => event)).toEqual(['revocation', 'revocation']);
  });

  it('[CR3] while the store is away a revocation takes effect on this node, and is stored when the store returns', async () => {
    const store = new Store();
    const { revocations, clock } = open(store);
    await revocations.start();
    store.isAway = true;
    const at = clock.now();
    expect(await revocations.revoke(7)).toEqual({ at, isKept: false });
    expect(revocations.isRevoked({ userId: 7, issuedAt: at })).toBe(true);
    store.isAway = false;
    await clock.advanceAsync(SYNC_MS);
    expect(store.kept.get(7)).toBe(at);
  });

  it('[CR3] a write that was answered and then lost is repeated', async () => {
    const store = new Store();
    const { revocations, clock } = open(store);
    await revocations.start();
    store.losesWrites = true;
    const at = clock.now();
    expect((await revocations.revoke(7)).isKept).toBe(true);
    store.losesWrites = false;
    await clock.advanceAsync(SYNC_MS);
    expect(store.kept.get(7)).toBe(at);
    // After it was read back, it is not written again.
    await clock.advanceAsync(2 * SYNC_MS);
    expect(store.changes).toEqual([]);
  });

  it('[CR3] the revocations that a wiped store lost are written back', async () => {
    const store = new Store();
    const { revocations, clock } = open(store);
    await revocations.start();
    await revocations.revoke(7);
    await clock.advanceAsync(SYNC_MS);
    store.wipe();
    await clock.advanceAsync(2 * SYNC_MS);
    expect([...store.kept.keys()]).toEqual([7]);
  });

  it('[CR3] end after their retention, here and in the store', async () => {
    const store = new Store();
    const { revocations, clock } = open(store);
    await revocations.start();
    await revocations.revoke(7);
    const at = clock.now();
    clock.stepWall(90 * DAY_MS - 3_600_001);
    await clock.advanceAsync(3_600_000, 60_000);
    expect(revocations.isRevoked({ userId: 7 })).toBe(true);
    await clock.advanceAsync(2 * 3_600_000, 60_000);
    expect(revocations.isRevoked({ userId: 7 })).toBe(false);
    expect(store.forgotten).toBeGreaterThanOrEqual(at);
  });

  it('[CR3] apply on a node whose clock is behind, and the log reports that once', async () => {
    const store = new Store();
    const { revocations, logged, clock } = open(store);
    const at = clock.now() + 5 * 3_600_000;
    store.kept.set(7, at).set(8, at);
    await revocations.start();
    expect(revocations.isRevoked({ userId: 7, issuedAt: at - 1 })).toBe(true);
    await store.put([{ userId: 9, at }]);
    await clock.advanceAsync(SYNC_MS);
    expect(revocations.isRevoked({ userId: 9, issuedAt: at - 1 })).toBe(true);
    clock.stepWall(6 * 3_600_000);
    expect(revocations.isRevoked({ userId: 7, issuedAt: clock.now() })).toBe(false);
    expect(logged).toEqual([{ event: 'revocation', userId: 7, aheadMs: 5 * 3_600_000 }]);
  });

  it('[CR3] apply on a node that starts with a clock that is months ahead, also after its first hour', async () => {
    const store = new Store();
    const { revocations, clock } = open(store);
    const at = clock.now();
    store.kept.set(7, at);
    clock.stepWall(91 * DAY_MS);
    await revocations.start();
    await clock.advanceAsync(1_800_000, 60_000);
    expect([revocations.isRevoked({ userId: 7 }), store.forgotten]).toEqual([true, undefined]);
    clock.stepWall(-91 * DAY_MS);
    await clock.advanceAsync(3 * 3_600_000, 60_000);
    expect(revocations.isRevoked({ userId: 7 })).toBe(true);
    expect(store.forgotten).toBeLessThan(at);
  });

  it('[CR3] are not removed before they are too old by the clock of the store too', async () => {
    const store = new Store();
    const clock = new FakeClock();
    const at = clock.now();
    let aheadMs = 91 * DAY_MS;
    const now = async () => clock.now() - aheadMs;
    const { revocations } = open(Object.assign(store, { now }), clock);
    store.kept.set(7, at);
    clock.stepWall(aheadMs);
    await revocations.start();
    await clock.advanceAsync(5 * 3_600_000, 60_000);
    expect(revocations.isRevoked({ userId: 7 })).toBe(true);
    expect(store.forgotten).toBeLessThan(at);
    aheadMs = 0;
    await clock.advanceAsync(3_600_000, 60_000);
    expect(revocations.isRevoked({ userId: 7 })).toBe(false);
    expect(store.forgotten).toBeGreaterThanOrEqual(at);
  });

  it('[CR3] have a bound: the oldest are removed, and the log reports that', async () => {
    const store = new Store();
    const { revocations, logged, clock } = open(store);
    const first = clock.now() - MAX_REVOCATIONS;
    for (let userId = 1; userId <= MAX_REVOCATIONS; userId += 1) store.kept.set(userId, first + userId - 1);
    const started = revocations.start();
    await clock.advanceAsync(100, 1);
    await started;
    await revocations.revoke(999_999);
    expect(revocations.size).toBeLessThanOrEqual(MAX_REVOCATIONS);
    expect([1, MAX_REVOCATIONS, 999_999].map((userId) => revocations.isRevoked({ userId }))).toEqual([
      false,
      true,
      true,
    ]);
    expect(logged).toMatchObject([{ event: 'revocation', dropped: MAX_REVOCATIONS / 100 }]);
  });

  it('[CR3] if another program wrote too many, the newest apply, and the loop turns in between', async () => {
    const store = new Store();
    const { revocations, clock } = open(store);
    const users = 3 * MAX_REVOCATIONS;
    for (let userId = 1; userId <= users; userId += 1) store.kept.set(userId, clock.now() - users + userId);
    let isStarted = false;
    const started = revocations.start().then(() => {
      isStarted = true;
    });
    await clock.advanceAsync(10, 1);
    expect(isStarted).toBe(false);
    await clock.advanceAsync(100, 1);
    await started;
    expect(revocations.size).toBe(MAX_REVOCATIONS);
    expect([1, users].map((userId) => revocations.isRevoked({ userId }))).toEqual([false, true]);
  });
});

describe('the file of revocations', () => {
  const folder = (): string => {
    const path = mkdtempSync(join(tmpdir(), 'lingxi-revocations-'));
    onTestFinished(() => rmSync(path, { recursive: true, force: true }));
    return path;
  };

  it('[CR3] keeps the later of two times over a restart, with any number of simultaneous writes', async () => {
    const path = join(folder(), 'data', 'revocations.json');
    const file = new RevocationFile(path);
    expect(await file.read()).toEqual({ revocations: [], isAll: true });
    await Promise.all([5, 9, 7].map((at) => file.put([{ userId: 1, at }])));
    await file.put([{ userId: 2, at: 3 }]);
    const again = await new RevocationFile(path).read();
    expect(again).toEqual({
      revocations: [
        { userId: 1, at: 9 },
        { userId: 2, at: 3 },
      ],
      isAll: true,
    });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(path, '..'))).toEqual(['revocations.json']);
    await file.forget(5);
    expect((await new RevocationFile(path).read()).revocations).toEqual([{ userId: 1, at: 9 }]);
  });

  it('rejects if it cannot be written, and the next write succeeds once it can', async () => {
    const parent = folder();
    const file = new RevocationFile(join(parent, 'data', 'revocations.json'));
    rmSync(parent, { recursive: true });
    writeFileSync(parent, 'no folder');
    await expect(file.put([{ userId: 1, at: 9 }])).rejects.toThrow();
    rmSync(parent);
    await file.put([{ userId: 2, at: 3 }]);
    const again = await new RevocationFile(join(parent, 'data', 'revocations.json')).read();
    expect(again.revocations).toHaveLength(2);
  });
});
