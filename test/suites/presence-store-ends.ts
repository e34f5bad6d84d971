import { describe, expect, it } from 'vitest';
import type { Claim } from '../../src/presence/store/port.ts';
import { eventually } from '../support/ports.ts';
import { claimOf, login, nothingLeft, type SubjectCase, state } from '../support/presence-subject.ts';
import { endOf, freshUser, httpOf, socketOf, storeRoom } from './store-room.ts';

/** How periods end, and what remains of them, in every presence store (rule PR13). */
export const presenceStoreEndsContract = (cases: readonly SubjectCase[]): void =>
  describe.each(cases)('[PR13] the presence store in %s', (_name, openSubject) => {
    const { open, read, end, dutiesOf, online } = storeRoom(openSubject);

    describe('policies', () => {
      it('[PR4] reject refuses while a socket lives, but not while the user lingers', async () => {
        const store = await open({ policy: 'reject' });
        const user = freshUser();
        await login(store, socketOf(user, 1));
        expect(await state(store, socketOf(user, 2, { rivals: 1 }))).toEqual({
          kind: 'refused',
          code: 'session-exists',
        });
        expect(await state(store, httpOf(user, 3, { sockets: 1, socketMs: 9000 }))).toMatchObject({
          kind: 'joined',
        });
        await state(store, nothingLeft(user, 4, { socketMs: 5000 }));
        expect(await state(store, socketOf(user, 5))).toMatchObject({ kind: 'joined' });
      });

      it('[PR4] multi refuses beyond the limit', async () => {
        const store = await open({ policy: 'multi', maxConnectionsPerUser: 3 });
        const user = freshUser();
        await login(store, socketOf(user, 1));
        expect(await state(store, socketOf(user, 2, { sockets: 3, rivals: 2 }))).toMatchObject({
          kind: 'joined',
        });
        expect(await state(store, socketOf(user, 3, { sockets: 4, rivals: 3 }))).toEqual({
          kind: 'refused',
          code: 'session-exists',
        });
        expect((await read(store, user))?.sockets).toBe(3);
      });

      it('[PR4] replace refuses the sixth take-over of a minute, and counts only closed live sockets', async () => {
        const store = await open({ policy: 'replace' });
        const user = freshUser();
        for (let rev = 1; rev <= 10; rev += 1) await login(store, socketOf(user, rev));
        const taken = [];
        for (let rev = 11; rev <= 16; rev += 1)
          taken.push(await state(store, socketOf(user, rev, { rivals: 1 })));
        expect(taken.map(({ kind }) => kind)).toEqual([
          'joined',
          'joined',
          'joined',
          'joined',
          'joined',
          'refused',
        ]);
        expect(taken.at(-1)).toEqual({ kind: 'refused', code: 'session-flapping' });
        expect((await read(store, user))?.status).toBe('online');
      });
    });

    describe('ends', () => {
      it('[PR6] [ST1] logout and kick end the period now and record the duty in the same step', async () => {
        const store = await open();
        for (const reason of ['logout', 'kick'] as const) {
          const user = freshUser();
          const { period, epoch, loginTime } = await login(store, socketOf(user, 1));
          const before = Date.now();
          const answer = await end(store, endOf(user, { reason }));
          if (answer?.kind !== 'ended') throw new Error(answer?.kind);
          const { logoutTime } = answer.end;
          expect(answer.end).toEqual({ userId: user, period, epoch, loginTime, logoutTime, reason });
          expect(logoutTime).toBeGreaterThanOrEqual(before - 2);
          expect(await dutiesOf(store, user)).toMatchObject([{ period, logoutAt: logoutTime, reason }]);
          expect(await end(store, endOf(user, { reason }))).toEqual({ kind: 'not-online' });
        }
      });

      it('[PR7] an older epoch changes nothing; the newest or a newer one ends the period', async () => {
        const store = await open({ policy: 'multi' });
        const user = freshUser();
        const older = await login(store, socketOf(user, 1));
        const newer = await login(store, socketOf(user, 2, { sockets: 2, rivals: 1 }));
        expect(await end(store, endOf(user, { epoch: older.epoch }))).toEqual({ kind: 'superseded' });
        expect((await read(store, user))?.status).toBe('online');
        expect(await end(store, endOf(user, { epoch: newer.epoch }))).toMatchObject({ kind: 'ended' });
        const again = await login(store, socketOf(user, 3));
        expect(await end(store, endOf(user, { epoch: again.epoch + 1 }))).toMatchObject({ kind: 'ended' });
      });

      it('an unknown user is not online, and a period that is being opened is too young to end', async () => {
        const store = await open();
        const user = freshUser();
        expect(await end(store, endOf(user))).toEqual({ kind: 'not-online' });
        await state(store, socketOf(user, 1));
        expect(await end(store, endOf(user))).toEqual({ kind: 'young' });
      });

      it('the record of an offline user shows the newest proof of the node that ended the period', async () => {
        const store = await open();
        const user = freshUser();
        await login(store, socketOf(user, 1, { proofAgeMs: 5000 }));
        await end(store, endOf(user, { proofAgeMs: 20 }));
        const { lastHeartbeat = 0, logoutTime = 0 } = (await read(store, user)) ?? {};
        expect(Math.abs(logoutTime - lastHeartbeat - 20)).toBeLessThanOrEqual(2);
      });

      it('withdraw removes an opening without a trace, and keeps a recorded period', async () => {
        const store = await open();
        const [user, recorded] = [freshUser(), freshUser()];
        const answer = await state(store, socketOf(user, 1));
        const period = answer.kind === 'opened' ? answer.period : 0;
        const kept = await login(store, socketOf(recorded, 1));
        const withdrawn = store.withdraw([
          { userId: user, period },
          { userId: recorded, period: kept.period },
        ]);
        await expect(withdrawn).rejects.toThrow('recorded');
        expect(await store.knows([{ userId: user, period }])).toEqual([false]);
        expect(await state(store, claimOf(user, { mode: 'state', rev: 2 }))).toEqual({ kind: 'gone' });
        expect((await read(store, recorded))?.status).toBe('online');
        expect(await state(store, socketOf(user, 3))).toMatchObject({ kind: 'opened' });
      });
    });

    describe('duties', () => {
      it('[ST1] the store gives out a duty once, and it is pending until it is acknowledged', async () => {
        const store = await open();
        const user = freshUser();
        const { period } = await login(store, socketOf(user, 1));
        await end(store, endOf(user));
        const { count, oldestAgeMs } = await store.pendingDuties();
        expect(count).toBeGreaterThanOrEqual(1);
        expect(oldestAgeMs).toBeGreaterThanOrEqual(0);
        const duties = await dutiesOf(store, user);
        expect(duties).toMatchObject([{ userId: user, period }]);
        expect(await dutiesOf(store, user)).toEqual([]);
        expect(await store.knows([{ userId: user, period }])).toEqual([true]);
        await store.ackDuties(duties);
        await store.ackDuties(duties);
        expect((await store.pendingDuties()).count).toBe(count - 1);
        expect(await store.knows([{ userId: user, period }])).toEqual([false]);
      });

      it('[ST4] [ST6] duties of several periods of a user are acknowledged one by one, in any order, beside a running period', async () => {
        const store = await open();
        const user = freshUser();
        const periods: number[] = [];
        for (const rev of [1, 2, 3]) {
          periods.push((await login(store, socketOf(user, rev))).period);
          await end(store, endOf(user));
        }
        const duties = await dutiesOf(store, user);
        const [oldest, middle, newest] = duties;
        if (oldest === undefined || middle === undefined || newest === undefined)
          throw new Error('no duties');
        const { period } = await login(store, socketOf(user, 4));
        const known = () =>
          store.knows([...periods, period, period + 1].map((each) => ({ userId: user, period: each })));
        expect(await known()).toEqual([true, true, true, true, false]);
        await store.ackDuties([newest]);
        expect(await known()).toEqual([true, true, false, true, false]);
        await end(store, endOf(user));
        await store.ackDuties([oldest]);
        expect(await known()).toEqual([false, true, false, true, false]);
        await store.ackDuties([middle, ...(await dutiesOf(store, user))]);
        expect(await known()).toEqual([false, false, false, false, false]);
        expect((await read(store, user))?.status).toBe('offline');
      });

      it('[ST6] an opening names the earlier period whose duty still waits', async () => {
        const store = await open();
        const user = freshUser();
        const { period } = await login(store, socketOf(user, 1));
        await end(store, endOf(user));
        const waiting = await state(store, socketOf(user, 2));
        expect(waiting).toMatchObject({ kind: 'opened', unsettled: period });
        await store.withdraw([{ userId: user, period: waiting.kind === 'opened' ? waiting.period : 0 }]);
        await store.ackDuties(await dutiesOf(store, user));
        expect(await state(store, socketOf(user, 3))).toMatchObject({ kind: 'opened', unsettled: undefined });
      });

      it('[ST7] the store keeps a duty that can never succeed as a dead letter, and no login waits for it', async () => {
        const store = await open();
        const user = freshUser();
        const { period } = await login(store, socketOf(user, 1));
        await end(store, endOf(user));
        const [duty] = await dutiesOf(store, user);
        if (duty === undefined) throw new Error('no duty');
        const { count } = await store.pendingDuties();
        await store.setAside(duty, 'the database refuses it');
        expect((await store.pendingDuties()).count).toBe(count - 1);
        expect(await store.knows([{ userId: user, period }])).toEqual([true]);
        expect(await dutiesOf(store, user)).toEqual([]);
        expect(await state(store, socketOf(user, 2))).toMatchObject({ kind: 'opened', unsettled: undefined });
      });

      it('with a last-seen time of 0 the store deletes an offline user once settled', async () => {
        const store = await open({ lastSeenTtlMs: 0 });
        const user = freshUser();
        await login(store, socketOf(user, 1));
        await end(store, endOf(user));
        expect((await read(store, user))?.status).toBe('offline');
        await store.ackDuties(await dutiesOf(store, user));
        await eventually(async () => expect(await read(store, user)).toBeUndefined());
      });
    });

    describe('claims in mode `restate`', () => {
      const restated = (user: number, rev: number, period: number, changed: Partial<Claim> = {}) =>
        claimOf(user, { mode: 'restate', rev, period, loginTime: period, epoch: period + 7, ...changed });

      it('[PR11] keep period, login time and epoch, and are visible at once', async () => {
        const store = await open();
        const user = freshUser();
        const period = Date.now() - 500_000;
        expect(await state(store, restated(user, 1, period))).toEqual({
          ...{ kind: 'joined', period, loginTime: period, epoch: period + 7 },
        });
        expect(await read(store, user)).toMatchObject({
          status: 'online',
          period,
          loginTime: period,
          epoch: period + 7,
        });
        expect(await online(store)).toContain(user);
        const next = await state(store, socketOf(user, 2));
        expect(next).toMatchObject({ kind: 'joined', period });
      });

      it('[PR11] do not bring back a period that has ended, or that a newer one followed', async () => {
        const store = await open();
        const [ended, followed] = [freshUser(), freshUser()];
        const { period } = await login(store, socketOf(ended, 1));
        await end(store, endOf(ended));
        expect(await state(store, restated(ended, 2, period))).toEqual({ kind: 'gone' });
        expect((await read(store, ended))?.status).toBe('offline');
        const newer = await login(store, socketOf(followed, 1));
        expect(await state(store, restated(followed, 2, newer.period - 1))).toEqual({ kind: 'gone' });
        expect(await read(store, followed)).toMatchObject({ status: 'online', period: newer.period });
      });
    });

    describe('reading', () => {
      it('answers in the order of the request, with nothing for unknown users', async () => {
        const store = await open();
        const [first, second, stranger] = [freshUser(), freshUser(), freshUser()];
        for (const user of [first, second]) await login(store, socketOf(user, 1));
        const records = await store.read([second, stranger, first, second]);
        expect(records.map((record) => record?.userId)).toEqual([second, undefined, first, second]);
        expect(await store.read([])).toEqual([]);
      });

      it('distinguishes periods: open, waiting, ended and unknown', async () => {
        const store = await open();
        const user = freshUser();
        const { period } = await login(store, socketOf(user, 1));
        const ask = [period, period - 1, period + 1].map((asked) => ({ userId: user, period: asked }));
        expect(await store.knows(ask)).toEqual([true, false, false]);
        expect(await store.knows([])).toEqual([]);
      });

      it('pages contain each online user once, ordered by id', async () => {
        const store = await open();
        const some = Array.from({ length: 25 }, freshUser);
        for (const user of some) await login(store, socketOf(user, 1));
        const seen: number[] = [];
        let cursor: string | undefined;
        let pages = 0;
        do {
          const page = await store.onlinePage({ limit: 10, cursor });
          expect(page.userIds.length).toBeLessThanOrEqual(10);
          seen.push(...page.userIds);
          cursor = page.cursor;
          pages += 1;
        } while (cursor !== undefined && pages < 500);
        expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
        expect(seen.filter((user) => some.includes(user))).toEqual(some);
      });
    });
  });
