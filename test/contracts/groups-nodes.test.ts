import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, type Runtime, startGateway } from '../support/gateway-process.ts';
import { readMetrics } from '../support/metrics.ts';
import { eventually } from '../support/ports.ts';
import { viewPresence } from '../support/presence-view.ts';
import { type PostgresServer, type RedisServer, startPostgres, startRedis } from '../support/services.ts';
import { createUsers, freshUser } from '../support/stores.ts';
import type { Client } from '../support/ws-client.ts';

const RUNTIMES: readonly Runtime[] = ['bun', 'node'];
const ENV = { LINGXI_HEARTBEAT_TIMEOUT_MS: '10000' };

describe.concurrent.each(RUNTIMES)('groups on two nodes on %s', (runtime) => {
  let redis: RedisServer;
  let postgres: PostgresServer;
  let a: Gateway;
  let b: Gateway;
  const clients: Client[] = [];
  const start = (name: string): Promise<Gateway> =>
    startGateway({
      runtime,
      stores: { redisUrl: redis.url, databaseUrl: postgres.url },
      env: { ...ENV, LINGXI_NODE_NAME: name },
    });
  const join = async (gateway: Gateway, user = freshUser(), groups?: readonly string[]) => {
    const token = gateway.token(user, groups === undefined ? {} : { claims: { groups } });
    const client = await viewPresence({ gateway }).v1(user, { token });
    client.keepAlive();
    clients.push(client);
    return { user, client };
  };
  let count = 0;
  const freshGroup = (): string => `team.${(count += 1)}`;
  const change = async (gateway: Gateway, group: string, body: object) => {
    const answer = await gateway.service('POST', `/api/groups/${group}`, body);
    expect(answer.status).toBe(200);
    return (answer.body['results'] as { status: string }[]).map(({ status }) => status);
  };
  const members = async (gateway: Gateway, group: string) => {
    const { body } = await gateway.service('GET', `/api/groups/${group}`);
    return body['members'];
  };
  const push = async (gateway: Gateway, to: object, type = 'note', data: unknown = 1) => {
    const { status, body } = await gateway.service('POST', '/api/messages', { to, type, data });
    expect([status, body['results']]).toEqual([200, undefined]);
    return body['counts'];
  };
  const cli = (...args: string[]): Promise<string> => redis.cli(...args);
  const incarnationOf = async (gateway: Gateway): Promise<string> =>
    String((await gateway.waitForLog('started'))['node']);
  /** Pushes to this group until both nodes deliver. */
  const written = (group: string, counts: object) =>
    eventually(
      async () => {
        expect(await push(a, { groups: [group] })).toEqual(counts);
        expect(await push(b, { groups: [group] })).toEqual(counts);
      },
      { timeoutMs: 15_000 },
    );
  beforeAll(async () => {
    // This suite wipes and freezes its server, so it has its own.
    [redis, postgres] = await Promise.all([startRedis(), startPostgres()]);
    await createUsers(postgres);
    [a, b] = await Promise.all([start('a'), start('b')]);
    await viewPresence({ gateway: a }).login(freshUser());
  });
  afterAll(async () => {
    for (const client of clients) client.terminate();
    await Promise.all([a?.stop(), b?.stop()]);
    await Promise.all([redis?.stop(), postgres?.stop()]);
  });

  it.sequential('[GR2] right after the change, a push reaches members on both nodes once, by one frame per node', async () => {
    const here = await Promise.all([join(a), join(a)]);
    const there = await Promise.all(Array.from({ length: 20 }, () => join(b)));
    const lingering = freshUser();
    await viewPresence({ gateway: b }).login(lingering);
    const users = [...here, ...there].map(({ user }) => user);
    const [group, other] = [freshGroup(), freshGroup()];
    await change(a, group, { add: [...users, lingering] });
    await change(a, other, { add: users.slice(0, 5) });
    const sent = async () =>
      Number(await cli('HGET', `lingxi:sent:${await incarnationOf(a)}`, await incarnationOf(b)));
    const before = await sent();
    expect(await push(a, { groups: [group, other] })).toEqual({ written: 22, offline: 1 });
    expect(await sent()).toBe(before + 1);
    expect(await push(b, { groups: [other, group], except: [users[0], users[7]] })).toEqual({
      written: 20,
      offline: 1,
    });
    await push(a, { groups: [group] }, 'last');
    for (const [index, { client }] of [...here, ...there].entries()) {
      await client.next('last');
      const notes = client.messages.filter(({ type }) => type === 'note').length;
      expect([index, notes]).toEqual([index, index === 0 || index === 7 ? 1 : 2]);
    }
    expect(await members(b, other)).toEqual(users.slice(0, 5).sort((left, right) => left - right));
  });

  it.sequential('[GR1] a user with a socket on one node and a heartbeat by HTTP on the other counts once', async () => {
    const { user } = await join(a);
    const group = freshGroup();
    await change(b, group, { add: [user] });
    await viewPresence({ gateway: b }).heartbeat(user);
    expect(await push(b, { groups: [group] })).toEqual({ written: 1 });
  });

  it.sequential('[GR1] a member moves to the other node, and back, with groups of the service and of the token', async () => {
    const user = freshUser();
    const [given, named] = [freshGroup(), freshGroup()];
    const first = await join(a, user, [named]);
    expect(await change(b, given, { add: [user] })).toEqual(['member']);
    const second = await join(b, user, [named]);
    expect((await first.client.closed).code).toBe(4001);
    for (const group of [given, named]) expect(await push(a, { groups: [group] })).toEqual({ written: 1 });
    // A token without groups.
    const third = await join(a, user);
    expect((await second.client.closed).code).toBe(4001);
    expect(await push(b, { groups: [given] }, 'here')).toEqual({ written: 1 });
    await third.client.next('here');
    expect(await push(b, { groups: [named] })).toEqual({});
    expect(await change(b, given, { remove: [user] })).toEqual(['removed']);
    expect(await push(a, { groups: [given] })).toEqual({});
  });

  it.sequential('[DL4] messages to a user and to the groups of the user keep their order', async () => {
    const { user, client } = await join(b);
    const group = freshGroup();
    await change(a, group, { add: [user] });
    const batch = Array.from({ length: 60 }, (_, n) => ({
      to: n % 3 === 0 ? { userId: user } : { groups: [group] },
      type: 'n',
      data: n,
    }));
    expect((await a.service('POST', '/api/messages', batch)).status).toBe(200);
    const seen: unknown[] = [];
    for (let n = 0; n < 60; n += 1) seen.push((await client.next('n')).data);
    expect(seen).toEqual(batch.map(({ data }) => data));
  });

  it.sequential("[DL7] if the frame of a change is lost, the user's next claim makes the change effective", async () => {
    const { user } = await join(b);
    const group = freshGroup();
    const channel = `lingxi:0:node:${await incarnationOf(b)}`;
    // Simulates that node b lost its subscription: the change goes to a channel without a listener.
    await cli('HSET', `lingxi:u:${user}`, 'sg', `${Date.now() + 1000};${group}`);
    await written(group, { written: 1 });
    // The same happens if the first frame of a node is lost.
    await cli(
      'PUBLISH',
      channel,
      `{"n":9000,"from":"z:1","kind":"group","group":"${group}","users":[[${user},1,5,6,0]]}`,
    );
    expect(await push(a, { groups: [group] })).toEqual({ written: 1 });
  });

  it.sequential('garbage in frames of groups changes nothing', async () => {
    const { user } = await join(b);
    const group = freshGroup();
    await change(a, group, { add: [user] });
    const channel = `lingxi:0:node:${await incarnationOf(b)}`;
    const garbage = [
      '',
      ',"group":"a b","users":[]',
      ',"group":"g","users":[[1]]',
      ',"group":"g","users":[["x",1,1,1,1]]',
    ];
    for (const [index, fields] of garbage.entries())
      await cli('PUBLISH', channel, `{"n":${index + 1},"from":"y:1","kind":"group"${fields}}`);
    for (const to of ['"groups":["a b"]', '"groups":["g"],"except":["x"]', '"groups":"g"'])
      await cli(
        'PUBLISH',
        channel,
        `{"n":9,"from":"y:1","kind":"parcel","id":"1","type":"x","data":1,${to}}`,
      );
    await b.waitForLog('malformed-message');
    expect(await push(a, { groups: [group] })).toEqual({ written: 1 });
  });

  it.sequential('PUBLISH lingxi:push to a group reaches members on both nodes', async () => {
    const [left, right] = [await join(a), await join(b)];
    const group = freshGroup();
    await change(a, group, { add: [left.user, right.user] });
    const counted = async (): Promise<number> => {
      const metrics = await Promise.all([a, b].map((node) => readMetrics(node)));
      return metrics.reduce((sum, metric) => sum + metric('lingxi_messages_total{status="written"}'), 0);
    };
    const before = await counted();
    await cli(
      'PUBLISH',
      'lingxi:push',
      JSON.stringify({ to: { groups: [group] }, type: 'published', data: 1 }),
    );
    await Promise.all([left.client.next('published'), right.client.next('published')]);
    await eventually(async () => expect(await counted()).toBe(before + 2));
  });

  it.sequential('[GR1] [PR11] groups survive FLUSHALL, even those that a node learnt from a frame', async () => {
    const [left, right] = [await join(a), await join(b, freshUser(), ['tok'])];
    const [group, gone] = [freshGroup(), freshGroup()];
    await change(b, group, { add: [left.user, right.user] });
    await change(a, gone, { add: [right.user] });
    await change(a, gone, { remove: [right.user] });
    await cli('FLUSHALL');
    await eventually(async () => expect(await members(a, group)).toEqual([left.user, right.user]), {
      timeoutMs: 10_000,
    });
    expect(await members(b, 'tok')).toEqual([right.user]);
    expect(await members(b, gone)).toEqual([]);
    await written(group, { written: 2 });
    // Changes continue from there.
    await eventually(async () =>
      expect(await change(a, group, { remove: [right.user] })).toEqual(['removed']),
    );
    // The frame to the other node may arrive after the next request to that node.
    await written(group, { written: 1 });
    expect(await members(a, group)).toEqual([left.user]);
  });

  it.sequential('[GR1] after the kill of their node, members who return in time are still members; others are not', async () => {
    const c = await start('c');
    const [back, away] = [await join(c), await join(c)];
    const group = freshGroup();
    await change(a, group, { add: [back.user, away.user] });
    await c.kill();
    await back.client.closed;
    // The dead node gives no answer for its members.
    expect(await push(a, { groups: [group] })).toEqual({ unknown: 2 });
    const again = await join(b, back.user);
    expect(await push(a, { groups: [group] }, 'again')).toMatchObject({ written: 1 });
    await again.client.next('again');
    await eventually(async () => expect(await members(b, group)).toEqual([back.user]), { timeoutMs: 20_000 });
    expect(await push(a, { groups: [group] })).toEqual({ written: 1 });
    await c.stop();
  }, 60_000);

  it.sequential('while Redis is away, changes and reads get 503, and members on this node get their messages', async () => {
    const [here, there] = [await join(a), await join(b)];
    const group = freshGroup();
    await change(a, group, { add: [here.user, there.user] });
    redis.freeze();
    try {
      for (const [method, body] of [
        ['POST', { add: [here.user] }],
        ['GET', undefined],
      ] as const) {
        const answer = await a.service(method, `/api/groups/${group}`, body);
        expect([method, answer.status, answer.body['code']]).toEqual([method, 503, 'presence-unavailable']);
      }
      const counts = (await push(a, { groups: [group] }, 'meanwhile')) as Record<string, number>;
      expect(counts['written']).toBe(1);
      expect(counts['unknown']).toBeGreaterThanOrEqual(1);
      await here.client.next('meanwhile');
    } finally {
      redis.thaw();
    }
    await written(group, { written: 2 });
  });
});
