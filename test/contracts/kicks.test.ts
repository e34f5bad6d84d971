import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/ports.ts';
import { type PresenceView, viewPresence } from '../support/presence-view.ts';
import { type Deployment, deploy, freshUser, ONE_OF_EACH } from '../support/stores.ts';
import { refusal } from '../support/ws-client.ts';

const BLOCK_MS = 600_000;

describe.concurrent.each(ONE_OF_EACH)('kicks and blocks on $runtime over $kind', ({ runtime, kind }) => {
  let deployment: Deployment;
  let view: PresenceView;
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind });
    view = viewPresence(deployment);
    // The first login waits on a Redis that was just empty.
    await view.login(freshUser());
  });
  afterAll(() => deployment?.stop());

  const service = (path: string, body: unknown) => deployment.gateway.service('POST', path, body);
  const disconnect = (user: number, body: unknown) => service(`/api/users/${user}/disconnect`, body);
  const logout = (user: number, body: object) =>
    service('/api/online/logout', { playerId: String(user), ...body });
  const dial = async (user: number) => {
    const { gateway } = deployment;
    const { status, body } = await refusal(gateway.wsUrl, { token: gateway.token(user) });
    return [status, body['code']];
  };

  describe.concurrent('the reason of a kick', () => {
    it.each([
      ['is shown in the close frame and in the timeline', 'cheating: 3rd time', 'cheating: 3rd time'],
      ['is cut between two characters in the close frame alone', '灵'.repeat(100), '灵'.repeat(41)],
      ['may be the name of another cause', 'shutdown', 'shutdown'],
    ])('%s', async (_name, reason, shown) => {
      const user = freshUser();
      const client = await view.v1(user);
      await client.next('welcome');
      expect((await disconnect(user, { reason })).status).toBe(200);
      const closed = await client.closed;
      expect([closed.code, closed.reason]).toEqual([4002, shown]);
      expect(client.messages.map(({ type }) => type)).toEqual(['welcome']);
      const { body } = await deployment.gateway.service('GET', `/api/users/${user}/timeline`);
      const [newest, oldest] = body['entries'] as Record<string, unknown>[];
      expect(newest).toMatchObject({ event: 'offline', cause: 'kick', reason });
      expect(oldest).not.toHaveProperty('reason');
      await eventually(async () => expect((await deployment.periods(user)).at(-1)?.reason).toBe('kick'));
    });

    it('is "kick" if the service gave no reason, or an empty one', async () => {
      for (const body of [{}, { reason: '' }]) {
        const user = freshUser();
        const client = await view.seed(user);
        await disconnect(user, body);
        const closed = await client.closed;
        expect([closed.code, closed.reason]).toEqual([4002, 'kick']);
      }
    });
  });

  describe.concurrent('a block', () => {
    it('blockMs 0 lifts it, also if the user is offline', async () => {
      const user = freshUser();
      const client = await view.seed(user);
      await disconnect(user, { blockMs: BLOCK_MS });
      await client.closed;
      expect(await dial(user)).toEqual([403, 'blocked']);
      const lifted = await disconnect(user, { blockMs: 0 });
      expect([lifted.status, lifted.body]).toEqual([200, { userId: user }]);
      (await view.seed(user)).terminate();
    });

    it('is shown in the dashboard until it ends or is lifted, even for a user who was never online', async () => {
      const [online, stranger] = [freshUser(), freshUser()];
      await view.login(online);
      const shown = async (user: number) => {
        const { body } = await deployment.gateway.service('GET', `/api/dashboard/users/${user}`);
        return body['blockedUntil'];
      };
      for (const user of [online, stranger]) {
        expect(await shown(user)).toBeUndefined();
        const { blockedUntil } = (await disconnect(user, { blockMs: BLOCK_MS })).body;
        expect(Math.abs(Number(await shown(user)) - Number(blockedUntil))).toBeLessThan(10_000);
        await disconnect(user, { blockMs: 0 });
        expect(await shown(user)).toBeUndefined();
      }
      await disconnect(stranger, { blockMs: 50 });
      await eventually(async () => expect(await shown(stranger)).toBeUndefined());
    });

    it('works for an unknown user, who is unknown again after it is lifted', async () => {
      const user = freshUser();
      const blocked = await disconnect(user, { blockMs: BLOCK_MS });
      expect(blocked.body).toEqual({ userId: user, blockedUntil: expect.any(Number) });
      expect(await dial(user)).toEqual([403, 'blocked']);
      expect((await view.login(user)).status).toBe(403);
      expect((await disconnect(user, { blockMs: 0 })).status).toBe(200);
      const unknown = await deployment.gateway.service('GET', `/api/online/player/${user}`);
      expect([unknown.status, unknown.body['code']]).toEqual([404, 'unknown-user']);
      expect(unknown.body['error']).toMatch(/^Nothing is known of this user/);
      expect((await view.login(user)).status).toBe(200);
    });

    it('works with a logout over HTTP too, and keeps the user out', async () => {
      const user = freshUser();
      const client = await view.seed(user);
      const answer = await logout(user, { blockMs: BLOCK_MS });
      expect(answer.body).toEqual({
        message: expect.any(String),
        playerId: String(user),
        logoutTime: expect.any(Number),
        blockedUntil: expect.any(Number),
      });
      expect(Math.abs(Number(answer.body['blockedUntil']) - Date.now() - BLOCK_MS)).toBeLessThan(5_000);
      expect((await client.closed).code).toBe(4000);
      expect(await dial(user)).toEqual([403, 'blocked']);
      expect(await view.status(user)).toBe('offline');
      await eventually(async () => expect((await deployment.periods(user)).at(-1)?.reason).toBe('logout'));
      const lifted = await logout(user, { blockMs: 0 });
      expect([lifted.status, lifted.body['blockedUntil']]).toEqual([200, undefined]);
      expect((await view.login(user)).status).toBe(200);
    });

    it('of an offline user works with logout too; without blockMs that logout still gets 404', async () => {
      const user = freshUser();
      expect((await logout(user, {})).status).toBe(404);
      const blocked = await logout(user, { blockMs: BLOCK_MS });
      expect(blocked.body).toEqual({
        ...{ message: expect.any(String), playerId: String(user), blockedUntil: expect.any(Number) },
      });
      expect((await logout(user, {})).status).toBe(404);
      expect(await dial(user)).toEqual([403, 'blocked']);
    });

    it("gets 403 with a user's own token, and that request has no effect", async () => {
      const user = freshUser();
      await view.login(user);
      const { gateway } = deployment;
      for (const blockMs of [0, 1000]) {
        const body = { playerId: String(user), blockMs };
        const answer = await gateway.call('POST', '/api/online/logout', { token: gateway.token(user), body });
        expect([answer.status, answer.body['code']]).toEqual([403, 'forbidden']);
      }
      expect(await view.status(user)).toBe('online');
    });

    it('must be within its bounds', async () => {
      for (const blockMs of [-1, 1.5, '5', 2_592_000_001]) {
        const answer = await logout(freshUser(), { blockMs });
        expect([answer.status, answer.body['code']]).toEqual([400, 'invalid-body']);
        expect(answer.body['error']).toContain('blockMs');
      }
    });
  });
});
