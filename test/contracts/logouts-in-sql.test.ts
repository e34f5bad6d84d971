import { join } from 'node:path';
import Database from 'libsql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { connect } from '../support/ws-client.ts';

const USERS = Array.from({ length: 40 }, (_, index) => index + 1);

describe.each(['bun', 'node'] as const)('embedded stores on %s', (runtime) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ runtime, stores: 'embedded' });
  });
  afterAll(() => gateway?.stop());

  const enter = (user: number) =>
    connect(gateway.wsUrl, { token: gateway.token(user), protocols: ['lingxi.v1'] });
  const reasonOf = (user: number): unknown => {
    const database = new Database(join(gateway.dataDir, 'data', 'lingxi.db'), { readonly: true });
    try {
      const text = `select reason from lingxi_periods where user_id = ${user} order by period desc limit 1`;
      return (database.prepare(text).all() as { reason: unknown }[])[0]?.reason;
    } finally {
      database.close();
    }
  };

  it('[ST8] write a logout to SQL before the client gets its close', async () => {
    const player = await enter(1000);
    player.send({ type: 'logout' });
    const { code } = await player.closed;
    expect([code, reasonOf(1000)]).toEqual([4000, 'logout']);
  });

  it('[ST8] write a logout by HTTP and a kick to SQL before the socket closes', async () => {
    const [player, cheater] = await Promise.all([enter(1001), enter(1002)]);
    const closes = Promise.all(
      [player, cheater].map(async (client, index) => {
        const { code } = await client.closed;
        return [code, reasonOf(1001 + index)];
      }),
    );
    await gateway.call('POST', '/api/online/logout', {
      token: gateway.token(1001),
      body: { playerId: 1001 },
    });
    await gateway.service('POST', '/api/users/1002/disconnect', {});
    expect(await closes).toEqual([
      [4000, 'logout'],
      [4002, 'kick'],
    ]);
  });

  it('[ST8] keep the logouts of all users with a closed socket, across kill -9', async () => {
    const clients = await Promise.all(USERS.map(enter));
    for (const client of clients) client.send({ type: 'logout' });
    const closes = await Promise.all(clients.map((client) => client.closed));
    await gateway.kill();
    expect(new Set(closes.map(({ code }) => code))).toEqual(new Set([4000]));
    await gateway.restart();
    const answer = await gateway.service('POST', '/api/online/status', { userIds: USERS });
    const results = answer.body['results'] as readonly { readonly status: string }[];
    expect(new Set(results.map(({ status }) => status))).toEqual(new Set(['offline']));
    expect(new Set(USERS.map(reasonOf))).toEqual(new Set(['logout']));
  });
});
