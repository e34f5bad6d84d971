import { describe, expect, it } from 'vitest';
import { eventually } from '../support/ports.ts';
import { claimOf, login, nothingLeft, type SubjectCase, state } from '../support/presence-subject.ts';
import { endOf, freshUser, httpOf, socketOf, storeRoom } from './store-room.ts';

/** Kicks and blocks in every presence store (rule PR13). */
export const presenceStoreBlocksContract = (cases: readonly SubjectCase[]): void =>
  describe.each(cases)(
    '[PR13] kicks, blocks and what a failover brought back in the presence store in %s',
    (_name, openSubject) => {
      const { open, read, end } = storeRoom(openSubject);

      it('a block refuses logins for its time, also of an offline user', async () => {
        const store = await open();
        const user = freshUser();
        expect(await end(store, endOf(user, { reason: 'kick', blockMs: 2_000 }))).toEqual({
          kind: 'not-online',
        });
        let rev = 0;
        for (const claim of [socketOf, httpOf])
          expect(await state(store, claim(user, ++rev))).toEqual({ kind: 'refused', code: 'blocked' });
        await eventually(async () =>
          expect(await state(store, socketOf(user, ++rev))).toMatchObject({ kind: 'opened' }),
        );
      });

      it('a store returns the remaining time of a block, also for a user who was never online', async () => {
        const store = await open();
        const [stranger, online, free] = [freshUser(), freshUser(), freshUser()];
        await login(store, socketOf(online, 1));
        await login(store, socketOf(free, 1));
        for (const user of [stranger, online]) {
          await end(store, endOf(user, { reason: 'kick', blockMs: 600_000 }));
          const leftMs = await store.blockLeftMs(user);
          expect(leftMs).toBeLessThanOrEqual(600_000);
          expect(leftMs).toBeGreaterThan(590_000);
          await end(store, endOf(user, { reason: 'kick', blockMs: 0 }));
          expect(await store.blockLeftMs(user)).toBe(0);
        }
        expect(await store.blockLeftMs(free)).toBe(0);
        expect(await store.blockLeftMs(freshUser())).toBe(0);
        const short = freshUser();
        await end(store, endOf(short, { reason: 'kick', blockMs: 50 }));
        await eventually(async () => expect(await store.blockLeftMs(short)).toBe(0));
      });

      it('a block of 0 lifts the block, for an unknown user and a known one', async () => {
        const store = await open();
        const [stranger, known] = [freshUser(), freshUser()];
        await login(store, socketOf(known, 1));
        await end(store, endOf(known, { reason: 'kick', blockMs: 600_000 }));
        await end(store, endOf(stranger, { reason: 'kick', blockMs: 600_000 }));
        for (const user of [stranger, known]) {
          expect(await state(store, socketOf(user, 2))).toEqual({ kind: 'refused', code: 'blocked' });
          // A call without a block does not change the block.
          expect(await end(store, endOf(user))).toEqual({ kind: 'not-online' });
          expect(await state(store, socketOf(user, 3))).toEqual({ kind: 'refused', code: 'blocked' });
          expect(await end(store, endOf(user, { reason: 'kick', blockMs: 0 }))).toEqual({
            kind: 'not-online',
          });
          expect(await state(store, socketOf(user, 4))).toMatchObject({ kind: 'opened' });
        }
        expect(await read(store, stranger)).toBeUndefined();
        expect((await read(store, known))?.status).toBe('offline');
      });

      it('[PR7] a block lasts longer than the record if the store remembers nothing of offline users', async () => {
        const store = await open({ lastSeenTtlMs: 0 });
        const [kicked, gone] = [freshUser(), freshUser()];
        for (const user of [kicked, gone]) await login(store, socketOf(user, 1));
        await end(store, endOf(kicked, { reason: 'kick', blockMs: 600_000 }));
        await end(store, endOf(gone));
        await store.ackDuties(await store.takeDuties(500));
        await eventually(async () => expect(await read(store, gone)).toBeUndefined());
        expect(await state(store, socketOf(kicked, 2))).toEqual({ kind: 'refused', code: 'blocked' });
      });

      it('[PR4] take-overs of an opening that a failover brought back are removed with it', async () => {
        const store = await open();
        const user = freshUser();
        const opened = await state(store, socketOf(user, 1));
        if (opened.kind !== 'opened') throw new Error(opened.kind);
        for (let rev = 2; rev <= 6; rev += 1)
          expect((await state(store, socketOf(user, rev, { rivals: 1 }))).kind).toBe('opened');
        expect(await state(store, socketOf(user, 7, { rivals: 1 }))).toMatchObject({ kind: 'refused' });
        const floor = opened.period + 1;
        expect(await state(store, socketOf(user, 8, { rivals: 1, floor }))).toMatchObject({ kind: 'opened' });
      });

      it('[ST5] proofs of an earlier period do not count for a restored one', async () => {
        const store = await open();
        const user = freshUser();
        const { period } = await login(store, httpOf(user, 1, { httpMs: 60_000, untilMs: 60_000 }));
        await end(store, endOf(user));
        const proofs = { proofMark: 'm', proofAgeMs: 15_000, untilMs: -5000 };
        const later = { period: period + 1, loginTime: period - 60_000, ...proofs };
        const restated = claimOf(user, { mode: 'restate', rev: 2, ...later });
        expect((await state(store, restated)).kind).toBe('joined');
        const before = Date.now();
        const answer = await state(store, nothingLeft(user, 3, proofs));
        if (answer.kind !== 'ended') throw new Error(answer.kind);
        expect(Math.abs(answer.end.logoutTime - before + 5000)).toBeLessThan(3000);
        const { lastHeartbeat = 0 } = (await read(store, user)) ?? {};
        expect(Math.abs(lastHeartbeat - before + 15_000)).toBeLessThan(3000);
      });

      it('[PR7] a logout with an older epoch blocks nobody', async () => {
        const store = await open({ policy: 'multi' });
        const user = freshUser();
        const older = await login(store, socketOf(user, 1));
        await login(store, socketOf(user, 2, { sockets: 2, rivals: 1 }));
        const late = endOf(user, { epoch: older.epoch, blockMs: 600_000 });
        expect(await end(store, late)).toEqual({ kind: 'superseded' });
        expect(await state(store, socketOf(user, 3, { sockets: 3, rivals: 2 }))).toMatchObject({
          kind: 'joined',
        });
      });

      it("the timeline has the service's reason of a kick, whatever characters it has", async () => {
        const store = await open();
        for (const note of ['作弊 | a;b,c', 'e', 'r']) {
          const user = freshUser();
          await login(store, socketOf(user, 1));
          await end(store, endOf(user, { reason: 'kick', note }));
          const [newest, ...older] = (await store.timeline(user, { cursor: undefined, limit: 10 })) ?? [];
          expect(newest).toMatchObject({ event: 'offline', cause: 'kick', note, epoch: expect.any(Number) });
          for (const entry of older) expect(entry.note).toBeUndefined();
        }
      });
    },
  );
