import { describe, expect, it } from 'vitest';
import { eventually } from '../support/ports.ts';
import { claimOf, login, nothingLeft, type SubjectCase, state } from '../support/presence-subject.ts';
import { endOf, freshUser, httpOf, socketOf, storeRoom } from './store-room.ts';

/** How periods open, and the effect of claims, in every presence store (rule PR13). */
export const presenceStoreContract = (cases: readonly SubjectCase[]): void =>
  describe.each(cases)('[PR13] the presence store in %s', (_name, openSubject) => {
    const { open, read, end, online } = storeRoom(openSubject);

    describe('opening and joining', () => {
      it('[PR1] [PR2] the first socket of a user opens a period with the number of its epoch', async () => {
        const store = await open();
        const user = freshUser();
        const before = Date.now();
        const answer = await state(store, socketOf(user, 1));
        if (answer.kind !== 'opened') throw new Error(answer.kind);
        expect(answer).toMatchObject({ period: answer.epoch, unsettled: undefined });
        for (const time of [answer.loginTime, answer.period]) {
          expect(time).toBeGreaterThanOrEqual(before - 2);
          expect(time).toBeLessThanOrEqual(Date.now() + 2);
        }
      });

      it('[ST4] a period becomes visible when it is recorded, not before', async () => {
        const store = await open();
        const user = freshUser();
        const answer = await state(store, socketOf(user, 1));
        if (answer.kind !== 'opened') throw new Error(answer.kind);
        const { period, loginTime, epoch } = answer;
        expect(await read(store, user)).toBeUndefined();
        expect(await online(store)).not.toContain(user);
        expect(await store.knows([{ userId: user, period }])).toEqual([true]);
        expect(await store.record([{ userId: user, period }])).toEqual([true]);
        expect(await online(store)).toContain(user);
        expect(await read(store, user)).toEqual({
          ...{
            userId: user,
            username: `玩家${user}`,
            ip: '192.0.2.1',
            status: 'online',
            sockets: 1,
            socketsElsewhere: 0,
          },
          ...{ loginTime, period, epoch, logoutTime: undefined, lastHeartbeat: expect.any(Number) },
        });
      });

      it('a second record counts no user twice, and does not record another period', async () => {
        const store = await open();
        const user = freshUser();
        const { period } = await login(store, socketOf(user, 1));
        const count = async () =>
          (await store.renew({ highestEpoch: 0, restored: true, acknowledged: [] })).onlineCount;
        const before = await count();
        expect(await store.record([{ userId: user, period }])).toEqual([true]);
        expect(await store.record([{ userId: user, period: period + 1 }])).toEqual([false]);
        expect(await store.record([{ userId: freshUser(), period }])).toEqual([false]);
        expect(await count()).toBe(before);
      });

      it('[PR2] [PR3] a further socket joins with the same period and login time and a greater epoch', async () => {
        const store = await open({ policy: 'multi' });
        const user = freshUser();
        const first = await login(store, socketOf(user, 1));
        const second = await state(store, socketOf(user, 2, { sockets: 2, rivals: 1 }));
        expect(second).toMatchObject({ kind: 'joined', period: first.period, loginTime: first.loginTime });
        expect('epoch' in second ? second.epoch : 0).toBeGreaterThan(first.epoch);
        expect((await read(store, user))?.sockets).toBe(2);
      });

      it('after a lost answer the login claims again, and the store asks it to write the row again', async () => {
        const store = await open();
        const user = freshUser();
        const first = await state(store, socketOf(user, 1));
        const again = await state(store, socketOf(user, 2));
        if (first.kind !== 'opened' || again.kind !== 'opened') throw new Error(again.kind);
        expect(again.period).toBe(first.period);
      });

      it('[PR1] an HTTP login opens with the period as its epoch; one that joins creates no epoch', async () => {
        const store = await open();
        const user = freshUser();
        const opened = await login(store, httpOf(user, 1));
        expect(opened.epoch).toBe(opened.period);
        expect((await read(store, user))?.sockets).toBe(0);
        const socket = await login(store, socketOf(user, 2, { httpMs: 9000 }));
        const joined = await state(store, httpOf(user, 3, { sockets: 1, socketMs: 10_000 }));
        expect(joined).toEqual({
          kind: 'joined',
          period: opened.period,
          epoch: socket.epoch,
          loginTime: opened.loginTime,
        });
      });

      it('a beat joins an online user and creates no period, not even from an opening', async () => {
        const store = await open();
        const user = freshUser();
        const beat = (rev: number) => claimOf(user, { mode: 'beat', rev });
        expect(await state(store, beat(1))).toEqual({ kind: 'not-online' });
        const opened = await login(store, socketOf(user, 2));
        expect(await state(store, beat(3))).toMatchObject({
          kind: 'joined',
          period: opened.period,
          epoch: opened.epoch,
        });
      });

      it('[PR3] a new period is above the newest in SQL, and a new epoch above the highest that nodes know', async () => {
        const store = await open();
        const [user, other] = [freshUser(), freshUser()];
        const floor = Date.now() + 1_000_000;
        expect((await login(store, socketOf(user, 1, { floor }))).period).toBeGreaterThan(floor);
        await store.renew({ highestEpoch: floor + 500, restored: true, acknowledged: [] });
        expect((await login(store, socketOf(other, 1))).epoch).toBeGreaterThan(floor + 500);
      });

      it('[PR2] no node completes an opening of a period before the newest in SQL', async () => {
        const store = await open();
        const user = freshUser();
        const stale = await state(store, socketOf(user, 1));
        if (stale.kind !== 'opened') throw new Error(stale.kind);
        const floor = stale.period + 10;
        const opened = await state(store, socketOf(user, 2, { floor }));
        if (opened.kind !== 'opened') throw new Error(opened.kind);
        expect(opened.period).toBeGreaterThan(floor);
        expect(await store.record([{ userId: user, period: stale.period }])).toEqual([false]);
        expect(await store.record([{ userId: user, period: opened.period }])).toEqual([true]);
      });

      it('an empty name or address keeps the earlier one; unusual ones come back unchanged', async () => {
        const store = await open();
        const user = freshUser();
        const username = 'a,b|c;d\n"\\ \u0000 灵犀 😀';
        await login(store, socketOf(user, 1, { username, ip: '2001:db8::1' }));
        await login(store, httpOf(user, 2, { username: '', ip: '' }));
        expect(await read(store, user)).toMatchObject({ username, ip: '2001:db8::1' });
      });

      it('accepts the largest user ids, and five hundred users in one call', async () => {
        const store = await open();
        const largest = Number.MAX_SAFE_INTEGER;
        const { period } = await login(store, socketOf(largest, 1));
        expect((await store.knows([{ userId: largest, period }]))[0]).toBe(true);
        await end(store, endOf(largest));
        const batch = Array.from({ length: 500 }, freshUser);
        const answers = await store.claim(batch.map((userId) => socketOf(userId, 2)));
        expect(answers.map(({ kind }) => kind)).toEqual(batch.map(() => 'opened'));
        const opened = answers.map((answer, index) => ({
          userId: batch[index] ?? 0,
          period: answer.kind === 'opened' ? answer.period : 0,
        }));
        expect((await store.record(opened)).every(Boolean)).toBe(true);
        expect((await store.read(batch)).map((record) => record?.userId)).toEqual(batch);
        const ended = await store.end(batch.map((userId) => endOf(userId)));
        expect(ended.every(({ kind }) => kind === 'ended')).toBe(true);
      });
    });
  });

/** Claims that are old, repeated or the last one, in every presence store (rule PR13). */
export const presenceStoreStatementsContract = (cases: readonly SubjectCase[]): void =>
  describe.each(cases)('[PR13] claims of nodes in %s', (_name, openSubject) => {
    const { open, read, dutiesOf, online } = storeRoom(openSubject);

    describe('revisions', () => {
      it('the same revision gets the same answer and changes nothing', async () => {
        const store = await open();
        const user = freshUser();
        const first = await state(store, socketOf(user, 5));
        expect(await state(store, socketOf(user, 5))).toEqual(first);
        await store.record([{ userId: user, period: first.kind === 'opened' ? first.period : 0 }]);
        expect(await state(store, claimOf(user, { mode: 'state', rev: 6 }))).toEqual({ kind: 'held' });
        expect(await state(store, nothingLeft(user, 6))).toEqual({ kind: 'held' });
        expect((await read(store, user))?.status).toBe('online');
      });

      it('an older revision is stale and changes nothing', async () => {
        const store = await open();
        const user = freshUser();
        await login(store, socketOf(user, 5));
        for (const claim of [
          nothingLeft(user, 4),
          socketOf(user, 3),
          claimOf(user, { mode: 'beat', rev: 1 }),
        ])
          expect(await state(store, claim)).toEqual({ kind: 'stale' });
        expect((await read(store, user))?.status).toBe('online');
      });
    });

    describe('claims of the rest', () => {
      it('a state claim for a user without a hold is gone, and creates nothing', async () => {
        const store = await open();
        const user = freshUser();
        expect(await state(store, claimOf(user, { mode: 'state', rev: 1 }))).toEqual({ kind: 'gone' });
        expect(await read(store, user)).toBeUndefined();
      });

      it('[ST5] with nothing left the period ends at the newest proof and its timeout, and the duty has the whole row', async () => {
        const store = await open();
        const user = freshUser();
        const { period, loginTime, epoch } = await login(store, socketOf(user, 1, { untilMs: 5 }));
        await eventually(() => expect(Date.now()).toBeGreaterThan(loginTime + 60));
        const before = Date.now();
        const answer = await state(store, nothingLeft(user, 2, { proofAgeMs: 50, untilMs: -20 }));
        if (answer.kind !== 'ended') throw new Error(answer.kind);
        const { logoutTime } = answer.end;
        expect(answer.end).toEqual({ userId: user, period, epoch, loginTime, logoutTime, reason: 'timeout' });
        expect(logoutTime).toBeGreaterThanOrEqual(before - 22);
        expect(logoutTime).toBeLessThanOrEqual(Date.now() - 18);
        const [duty] = await dutiesOf(store, user);
        expect(duty).toMatchObject({
          userId: user,
          period,
          loginAt: loginTime,
          logoutAt: logoutTime,
          reason: 'timeout',
        });
        expect(duty?.node).toMatch(/^node-/);
        expect(await read(store, user)).toMatchObject({
          ...{
            status: 'offline',
            period,
            loginTime,
            logoutTime,
            sockets: 0,
            lastHeartbeat: duty?.lastSeenAt,
          },
        });
        expect(await online(store)).not.toContain(user);
      });

      it('[ST5] no logout is before its login or in the future', async () => {
        const store = await open();
        const [early, late] = [freshUser(), freshUser()];
        const { loginTime } = await login(store, socketOf(early, 1, { untilMs: -3_600_000 }));
        const first = await state(store, nothingLeft(early, 2, { proofAgeMs: 1e11, untilMs: -1e11 }));
        expect(first).toMatchObject({ kind: 'ended', end: { logoutTime: loginTime } });
        await login(store, socketOf(late, 1, { untilMs: 3_600_000 }));
        const second = await state(store, nothingLeft(late, 2));
        if (second.kind !== 'ended') throw new Error(second.kind);
        expect(second.end.logoutTime).toBeLessThanOrEqual(Date.now() + 2);
      });

      it('[PR5] a linger or an HTTP proof alone still keeps the user online', async () => {
        const store = await open();
        const user = freshUser();
        await login(store, socketOf(user, 1));
        expect(await state(store, nothingLeft(user, 2, { socketMs: 5000 }))).toEqual({ kind: 'held' });
        expect(await state(store, nothingLeft(user, 3, { httpMs: 5000 }))).toEqual({ kind: 'held' });
        expect(await read(store, user)).toMatchObject({ status: 'online', sockets: 0 });
      });

      it('a period that was never recorded leaves no trace', async () => {
        const store = await open();
        const user = freshUser();
        const answer = await state(store, socketOf(user, 1));
        expect(await state(store, nothingLeft(user, 2))).toEqual({ kind: 'released' });
        const period = answer.kind === 'opened' ? answer.period : 0;
        expect(await store.knows([{ userId: user, period }])).toEqual([false]);
        expect(await store.record([{ userId: user, period }])).toEqual([false]);
        expect(await dutiesOf(store, user)).toEqual([]);
      });

      it('[ST5] a late claim with the same proof does not make the proof newer', async () => {
        const store = await open();
        const user = freshUser();
        await login(store, socketOf(user, 1));
        const told = { mode: 'state', proofMark: 'same' } as const;
        await state(store, claimOf(user, { ...told, rev: 2, proofAgeMs: 60_000, untilMs: -50_000 }));
        const first = (await read(store, user))?.lastHeartbeat ?? 0;
        await state(store, claimOf(user, { ...told, rev: 3, proofAgeMs: 40_000, untilMs: -30_000 }));
        expect((await read(store, user))?.lastHeartbeat).toBe(first);
        await state(store, nothingLeft(user, 4, { proofMark: 'same', proofAgeMs: 50_000, untilMs: -40_000 }));
        const [duty] = await dutiesOf(store, user);
        expect(duty?.lastSeenAt).toBeLessThanOrEqual(Math.max(first, duty?.loginAt ?? 0));
      });

      it('[ST5] a claim without a proof keeps the known proof', async () => {
        const store = await open();
        const user = freshUser();
        const { loginTime } = await login(store, socketOf(user, 1));
        await eventually(async () => {
          await state(
            store,
            claimOf(user, { mode: 'state', rev: Date.now(), proofMark: String(Date.now()) }),
          );
          expect((await read(store, user))?.lastHeartbeat).toBeGreaterThan(loginTime);
        });
        const unproven = { proofMark: '', proofAgeMs: 1e11, untilMs: -1e11 };
        await state(store, claimOf(user, { mode: 'state', rev: Date.now() + 1, ...unproven }));
        expect((await read(store, user))?.lastHeartbeat).toBeGreaterThan(loginTime);
        await state(store, nothingLeft(user, Date.now() + 2, unproven));
        const [duty] = await dutiesOf(store, user);
        expect(duty?.logoutAt).toBeGreaterThan(loginTime);
      });

      it('lastHeartbeat follows the newest claimed proof', async () => {
        const store = await open();
        const user = freshUser();
        await login(store, socketOf(user, 1));
        const first = (await read(store, user))?.lastHeartbeat ?? 0;
        await state(store, claimOf(user, { mode: 'state', rev: 2, proofAgeMs: 60_000 }));
        expect((await read(store, user))?.lastHeartbeat).toBeLessThan(first);
        await state(store, claimOf(user, { mode: 'state', rev: 3, proofAgeMs: 0 }));
        expect((await read(store, user))?.lastHeartbeat).toBeGreaterThanOrEqual(first);
      });
    });
  });
