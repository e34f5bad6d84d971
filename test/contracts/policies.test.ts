import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/ports.ts';
import { COMBINATIONS, type Deployment, deploy, freshUser } from '../support/stores.ts';
import { type Client, connect, refusal } from '../support/ws-client.ts';

/** No user times out here, and each socket is responsive: its newest proof of life is younger than the ping interval + 1 s. */
const ENV = { LINGXI_HEARTBEAT_TIMEOUT_MS: '10000', LINGXI_PING_INTERVAL_MS: '3000' };

describe.each(COMBINATIONS)('session policies on $runtime with $kind', ({ runtime, kind }) => {
  let replace: Deployment;
  let reject: Deployment;
  let multi: Deployment;
  beforeAll(async () => {
    const start = (policy: string) =>
      deploy({
        runtime,
        kind,
        env: { ...ENV, LINGXI_SESSION_POLICY: policy, LINGXI_MAX_CONNECTIONS_PER_USER: '2' },
      });
    [replace, reject, multi] = await Promise.all([start('replace'), start('reject'), start('multi')]);
  });
  afterAll(() => Promise.all([replace?.stop(), reject?.stop(), multi?.stop()]));

  const open = async ({ gateway }: Deployment, user: number): Promise<Client> => {
    const client = await connect(gateway.wsUrl, { token: gateway.token(user), protocols: ['lingxi.v1'] });
    client.keepAlive(400);
    return client;
  };
  const refused = async ({ gateway }: Deployment, user: number) => {
    const answer = await refusal(gateway.wsUrl, { token: gateway.token(user) });
    return { status: answer.status, code: answer.body['code'] };
  };
  const status = async ({ gateway }: Deployment, user: number) =>
    (await gateway.service('GET', `/api/online/player/${user}`)).body['status'];
  const push = async ({ gateway }: Deployment, user: number) => {
    const answer = await gateway.service('POST', '/api/messages', {
      to: { userId: user },
      type: 'n',
      data: 1,
    });
    return (answer.body['results'] as readonly Record<string, unknown>[])[0];
  };

  describe.concurrent('replace', () => {
    it('[PR4] the newer connection stays, and the older one is closed with 4001 within a second', async () => {
      const user = freshUser();
      const older = await open(replace, user);
      const first = (await older.next('welcome')).data as Record<string, string>;
      const newer = await open(replace, user);
      const opened = performance.now();
      const closed = await older.closed;
      expect(closed.code).toBe(4001);
      expect(closed.at - opened).toBeLessThan(1_000);
      expect(older.messages.map((message) => message.type)).not.toContain('goodbye');
      const second = (await newer.next('welcome')).data as Record<string, string>;
      expect(second['period']).toBe(first['period']);
      expect(Number(second['epoch'])).toBeGreaterThan(Number(first['epoch']));
      expect(second['resumed']).toBe(true);
      expect(await push(replace, user)).toMatchObject({ status: 'written', connections: 1 });
      await newer.next('n');
      newer.terminate();
    });

    it('[PR4] refuses the newcomer with 409 session-flapping after more than five take-overs in a minute', async () => {
      const user = freshUser();
      let holder = await open(replace, user);
      for (let takeOver = 1; takeOver <= 5; takeOver += 1) {
        const newer = await open(replace, user);
        expect((await holder.closed).code).toBe(4001);
        holder = newer;
      }
      expect(await refused(replace, user)).toEqual({ status: 409, code: 'session-flapping' });
      expect(await push(replace, user)).toMatchObject({ status: 'written', connections: 1 });
      await holder.next('n');
      holder.terminate();
    });

    it('[PR4] does not count the return of a user without a socket as a take-over', async () => {
      const user = freshUser();
      for (let time = 1; time <= 8; time += 1) {
        const client = await open(replace, user);
        client.close();
        await client.closed;
      }
      (await open(replace, user)).terminate();
    });
  });

  describe.concurrent('reject', () => {
    it('[PR4] refuses the newer connection with 409 while the older one lives', async () => {
      const user = freshUser();
      const older = await open(reject, user);
      expect(await refused(reject, user)).toEqual({ status: 409, code: 'session-exists' });
      expect(older.socket.readyState).toBe(older.socket.OPEN);
      older.terminate();
    });

    it('[PR4] a user who lingers can connect', async () => {
      const user = freshUser();
      const older = await open(reject, user);
      const { period } = (await older.next('welcome')).data as { period: string };
      older.close();
      await older.closed;
      const newer = await eventually(() => open(reject, user), { timeoutMs: 3_000 });
      expect((await newer.next('welcome')).data).toMatchObject({ period, resumed: true });
      newer.terminate();
    });

    it('[PR1] an HTTP login never gets 409, and prevents no connection', async () => {
      const user = freshUser();
      const login = () => reject.gateway.service('POST', '/api/online/login', { playerId: user });
      expect((await login()).status).toBe(200);
      const client = await open(reject, user);
      expect((await login()).status).toBe(200);
      expect(client.socket.readyState).toBe(client.socket.OPEN);
      client.terminate();
    });
  });

  describe.concurrent('multi', () => {
    it('[PR4] accepts up to N connections, refuses one more, and delivers to all', async () => {
      const user = freshUser();
      const clients = [await open(multi, user), await open(multi, user)];
      expect(await refused(multi, user)).toEqual({ status: 409, code: 'session-exists' });
      expect(await push(multi, user)).toMatchObject({ status: 'written', connections: 2 });
      await Promise.all(clients.map((client) => client.next('n')));
      const player = await multi.gateway.service('GET', `/api/online/player/${user}`);
      expect(player.body).toMatchObject({ status: 'online', connections: 2 });
      for (const client of clients) client.terminate();
    });

    it('[PR4] the user is online while one connection lives', async () => {
      const user = freshUser();
      const [older, newer] = [await open(multi, user), await open(multi, user)];
      newer.close();
      await newer.closed;
      await eventually(async () => {
        expect(await push(multi, user)).toMatchObject({ connections: 1 });
      });
      expect(await status(multi, user)).toBe('online');
      older.terminate();
    });

    it('[PR7] the logout message of a socket that is not the newest closes only that socket', async () => {
      const user = freshUser();
      const [older, newer] = [await open(multi, user), await open(multi, user)];
      older.send({ type: 'logout' });
      expect((await older.closed).code).toBe(4000);
      expect(await push(multi, user)).toMatchObject({ connections: 1 });
      expect(await status(multi, user)).toBe('online');
      newer.send({ type: 'logout' });
      expect((await newer.closed).code).toBe(4000);
      await eventually(async () => expect(await status(multi, user)).toBe('offline'));
    });

    it('[PR7] a logout without an epoch ends the period and closes every socket with 4000', async () => {
      const user = freshUser();
      const clients = [await open(multi, user), await open(multi, user)];
      const answer = await multi.gateway.service('POST', '/api/online/logout', { playerId: user });
      expect(answer.status).toBe(200);
      const codes = (await Promise.all(clients.map((client) => client.closed))).map(({ code }) => code);
      expect(codes).toEqual([4000, 4000]);
      expect(await status(multi, user)).toBe('offline');
    });
  });
});
