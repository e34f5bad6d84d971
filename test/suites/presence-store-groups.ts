import { describe, expect, it } from 'vitest';
import type { GroupAnswer, PresenceStore } from '../../src/presence/store/port.ts';
import { claimOf, login, nothingLeft, type SubjectCase, state } from '../support/presence-subject.ts';
import { endOf, freshUser, httpOf, socketOf, storeRoom } from './store-room.ts';

let groups = 0;
const freshGroup = (): string => `g${(groups += 1)}`;

/** Groups of users in every presence store (rule PR13). */
export const presenceStoreGroupsContract = (cases: readonly SubjectCase[]): void =>
  describe.each(cases)('[PR13] groups in the presence store in %s', (_name, openSubject) => {
    const { open, end } = storeRoom(openSubject);
    const add = (store: PresenceStore, group: string, ...users: number[]) =>
      store.changeGroup({ group, add: users, remove: [] });
    const remove = (store: PresenceStore, group: string, ...users: number[]) =>
      store.changeGroup({ group, add: [], remove: users });
    const members = async (store: PresenceStore, group: string) =>
      (await store.groupPage({ group, limit: 100, cursor: undefined })).userIds;
    const stepOf = (answer: GroupAnswer | undefined) => {
      if (answer === undefined || !('step' in answer) || answer.step === undefined)
        throw new Error(JSON.stringify(answer));
      return answer.step;
    };

    it('[GR3] users are added and removed, each change with a higher version; others change nothing', async () => {
      const store = await open();
      const [user, absent, group] = [freshUser(), freshUser(), freshGroup()];
      const { period } = await login(store, socketOf(user, 1));
      const [added, offline] = await add(store, group, user, absent);
      expect(added).toEqual({ kind: 'member', step: { period, before: 0, version: expect.any(Number) } });
      expect(offline).toEqual({ kind: 'offline' });
      expect(await add(store, group, user)).toEqual([{ kind: 'member' }]);
      const [removed] = await remove(store, group, user);
      expect(removed?.kind).toBe('removed');
      expect(stepOf(removed).before).toBe(stepOf(added).version);
      expect(stepOf(removed).version).toBeGreaterThan(stepOf(added).version);
      expect(await remove(store, group, user, absent)).toEqual([{ kind: 'removed' }, { kind: 'offline' }]);
      expect(await members(store, group)).toEqual([]);
    });

    it('[GR3] a user who is coming online is offline, and has no groups of a token yet', async () => {
      const store = await open();
      const [user, group] = [freshUser(), freshGroup()];
      const opened = await state(store, socketOf(user, 1, { tokenGroups: group }));
      if (opened.kind !== 'opened') throw new Error(opened.kind);
      expect(await add(store, group, user)).toEqual([{ kind: 'offline' }]);
      expect(await members(store, group)).toEqual([]);
      await store.record([{ userId: user, period: opened.period }]);
      expect(await members(store, group)).toEqual([user]);
    });

    it("[GR3] the number of a user's groups is limited, those of tokens included", async () => {
      const store = await open({ maxGroupsPerUser: 3 });
      const [user, named, others] = [freshUser(), freshGroup(), [freshGroup(), freshGroup(), freshGroup()]];
      await login(store, socketOf(user, 1, { tokenGroups: named }));
      const kinds: string[] = [];
      for (const group of [...others, named]) kinds.push((await add(store, group, user))[0]?.kind ?? '');
      expect(kinds).toEqual(['member', 'member', 'full', 'member']);
    });

    it('[GR1] groups of a token end with the sockets, those of the service with the period', async () => {
      const store = await open();
      const [user, named, given] = [freshUser(), freshGroup(), freshGroup()];
      await login(store, socketOf(user, 1, { tokenGroups: named }));
      const [answer] = await add(store, given, user);
      const serviceGroups = String(stepOf(answer).version);
      const linger = { sockets: 0, tokenGroups: named, serviceGroups };
      expect(await state(store, claimOf(user, { mode: 'state', rev: 2, ...linger }))).toEqual({
        kind: 'held',
      });
      expect([await members(store, named), await members(store, given)]).toEqual([[], [user]]);
      await login(store, socketOf(user, 3, { serviceGroups }));
      await end(store, endOf(user));
      expect(await members(store, given)).toEqual([]);
      const again = await login(store, socketOf(user, 4, { serviceGroups }));
      expect(again.groups).toBe('0');
      expect(await members(store, given)).toEqual([]);
    });

    it('[GR1] the last claim of a period takes its user out of every group', async () => {
      const store = await open();
      const [user, named, given] = [freshUser(), freshGroup(), freshGroup()];
      await login(store, socketOf(user, 1, { tokenGroups: named }));
      await add(store, given, user);
      expect((await state(store, nothingLeft(user, 2))).kind).toBe('ended');
      expect([await members(store, named), await members(store, given)]).toEqual([[], []]);
    });

    it('[GR1] every answer to a node has the groups that it does not know', async () => {
      const store = await open();
      const [user, group] = [freshUser(), freshGroup()];
      await login(store, socketOf(user, 1));
      const [answer] = await add(store, group, user);
      const text = `${stepOf(answer).version};${group}`;
      const held = await state(store, claimOf(user, { mode: 'state', rev: 2 }));
      expect(held).toEqual({ kind: 'held', groups: text });
      // The same claim gets the same answer.
      expect(await state(store, claimOf(user, { mode: 'state', rev: 2 }))).toEqual(held);
      expect(await state(store, httpOf(user, 3))).toMatchObject({ kind: 'joined', groups: text });
      const known = { serviceGroups: String(stepOf(answer).version) };
      expect(await state(store, httpOf(user, 4, known))).not.toHaveProperty('groups');
      expect(await state(store, claimOf(user, { mode: 'state', rev: 5, ...known }))).toEqual({
        kind: 'held',
      });
    });

    it('[PR11] a node gives back the groups that the store lost; of two nodes the newer groups count', async () => {
      const store = await open();
      const [user, old, newer] = [freshUser(), freshGroup(), freshGroup()];
      const period = Date.now() - 5000;
      const restated = { period, loginTime: period, epoch: period };
      const restate = (rev: number, serviceGroups: string, changed = {}) =>
        state(store, claimOf(user, { mode: 'restate', rev, ...restated, ...changed, serviceGroups }));
      expect(await restate(1, `${period + 1};${old}`)).not.toHaveProperty('groups');
      expect(await members(store, old)).toEqual([user]);
      await restate(2, `${period + 2};${newer}`);
      expect([await members(store, old), await members(store, newer)]).toEqual([[], [user]]);
      expect(await restate(3, `${period + 1};${old}`)).toMatchObject({ groups: `${period + 2};${newer}` });
      expect(await members(store, newer)).toEqual([user]);
      const [answer] = await add(store, old, user);
      expect(stepOf(answer).before).toBe(period + 2);
    });

    it('pages are ordered by user id', async () => {
      const store = await open();
      const group = freshGroup();
      const users = [freshUser(), freshUser(), freshUser()];
      for (const user of users) await login(store, socketOf(user, 1));
      await add(store, group, ...[...users].reverse());
      const first = await store.groupPage({ group, limit: 2, cursor: undefined });
      expect(first).toEqual({ online: 3, userIds: users.slice(0, 2), cursor: expect.any(String) });
      const second = await store.groupPage({ group, limit: 2, cursor: first.cursor });
      expect(second).toMatchObject({ online: 3, userIds: users.slice(2) });
      expect(await store.groupPage({ group: 'none', limit: 2, cursor: undefined })).toMatchObject({
        ...{ online: 0, userIds: [] },
      });
    });
  });
