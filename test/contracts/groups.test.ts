import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/ports.ts';
import { type PresenceView, viewPresence } from '../support/presence-view.ts';
import { type Deployment, deploy, freshUser, ONE_OF_EACH } from '../support/stores.ts';
import type { Client } from '../support/ws-client.ts';
import { refusal } from '../support/ws-client.ts';

const MAX_GROUPS = 50;

describe.concurrent.each(ONE_OF_EACH)('groups on $runtime over $kind', ({ runtime, kind }) => {
  let deployment: Deployment;
  let view: PresenceView;
  const clients: Client[] = [];
  beforeAll(async () => {
    deployment = await deploy({ runtime, kind });
    view = viewPresence(deployment);
    // The first login waits on a Redis that was just empty.
    await view.login(freshUser());
  });
  afterAll(async () => {
    for (const client of clients) client.terminate();
    await deployment?.stop();
  });

  let groups = 0;
  const freshGroup = (): string => `guild:${(groups += 1)}`;
  const join = async (user = freshUser()) => {
    const client = await view.v1(user);
    client.keepAlive();
    clients.push(client);
    return { user, client };
  };
  /** Connects with a token that names groups. */
  const joinBy = async (user: number, named: unknown) => {
    const client = await view.v1(user, {
      token: deployment.gateway.token(user, { claims: { groups: named } }),
    });
    client.keepAlive();
    clients.push(client);
    return client;
  };
  const service = (path: string, body: unknown) => deployment.gateway.service('POST', path, body);
  const change = async (group: string, body: object) => {
    const answer = await service(`/api/groups/${group}`, body);
    expect([answer.status, answer.body['error']]).toEqual([200, undefined]);
    return answer.body['results'];
  };
  const members = async (group: string, query = '') => {
    const answer = await deployment.gateway.service('GET', `/api/groups/${group}${query}`);
    expect(answer.status).toBe(200);
    return answer.body;
  };
  const push = async (to: object, type = 'note', data: unknown = 1) => {
    const { status, body } = await service('/api/messages', { to, type, data });
    expect(status).toBe(200);
    return body;
  };

  it.sequential('[GR1] [GR2] a push reaches each member once, also of several groups, and nobody else', async () => {
    const [both, first, second, stranger] = [await join(), await join(), await join(), await join()];
    const [one, other] = [freshGroup(), freshGroup()];
    expect(await change(one, { add: [both.user, String(first.user), both.user] })).toEqual([
      { userId: both.user, status: 'member' },
      { userId: first.user, status: 'member' },
    ]);
    await change(other, { add: [both.user, second.user] });
    expect(await push({ groups: [one, other, one] })).toEqual({ counts: { written: 3 } });
    for (const { client } of [both, first, second]) await client.next('note');
    expect(await push({ groups: [one, other], except: [both.user, 999_999] }, 'not-both')).toEqual({
      counts: { written: 2 },
    });
    for (const { client } of [first, second]) await client.next('not-both');
    expect(await push({ groups: [freshGroup()] })).toEqual({ counts: {} });
    await push({ userIds: [both.user, stranger.user] }, 'last');
    for (const [{ client }, types] of [
      [both, ['note', 'last']],
      [stranger, ['last']],
    ] as const) {
      await client.next('last');
      const pushed = client.messages
        .map(({ type }) => type)
        .filter((type) => type !== 'welcome' && type !== 'pong');
      expect(pushed).toEqual(types);
    }
  });

  it.sequential('[GR3] adding a member again and removing a non-member change nothing; a call for an offline user is not stored', async () => {
    const { user } = await join();
    const absent = freshUser();
    const group = freshGroup();
    expect(await change(group, { remove: [user, absent] })).toEqual([
      { userId: user, status: 'removed' },
      { userId: absent, status: 'offline' },
    ]);
    for (let time = 0; time < 2; time += 1) {
      expect(await change(group, { add: [absent, user] })).toEqual([
        { userId: absent, status: 'offline' },
        { userId: user, status: 'member' },
      ]);
      expect(await members(group)).toEqual({ group, online: 1, members: [user] });
    }
    await join(absent);
    expect(await members(group)).toEqual({ group, online: 1, members: [user] });
    expect(await change(group, { remove: [user] })).toEqual([{ userId: user, status: 'removed' }]);
    expect(await members(group)).toEqual({ group, online: 0, members: [] });
    expect(await push({ groups: [group] })).toEqual({ counts: {} });
    expect(await change(group, {})).toEqual([]);
  });

  it.sequential('[GR1] a membership by the service survives a reconnect and a take-over, and ends with the period', async () => {
    const { user, client } = await join();
    const group = freshGroup();
    await change(group, { add: [user] });
    client.close();
    await client.closed;
    // The user lingers: a member without a socket. The server may notice the end of the socket after its client.
    expect(await members(group)).toEqual({ group, online: 1, members: [user] });
    await eventually(async () => expect(await push({ groups: [group] })).toEqual({ counts: { offline: 1 } }));
    const back = await join(user);
    expect(await push({ groups: [group] })).toEqual({ counts: { written: 1 } });
    await back.client.next('note');
    const newest = await join(user);
    expect((await back.client.closed).code).toBe(4001);
    expect(await push({ groups: [group] })).toEqual({ counts: { written: 1 } });
    await newest.client.next('note');
    newest.client.send({ type: 'logout' });
    await newest.client.closed;
    expect(await members(group)).toEqual({ group, online: 0, members: [] });
    await join(user);
    expect(await push({ groups: [group] })).toEqual({ counts: {} });
  });

  it.sequential('[GR1] a member who is only logged in by HTTP counts, as offline without a socket', async () => {
    const user = freshUser();
    await view.login(user);
    const group = freshGroup();
    expect(await change(group, { add: [user] })).toEqual([{ userId: user, status: 'member' }]);
    expect(await push({ groups: [group] })).toEqual({ counts: { offline: 1 } });
  });

  it.sequential('[GR1] groups of a token last as long as a connection with it', async () => {
    const user = freshUser();
    const [group, other] = [freshGroup(), freshGroup()];
    const client = await joinBy(user, [group, other, group]);
    expect(await members(group)).toEqual({ group, online: 1, members: [user] });
    expect(await push({ groups: [group, other] })).toEqual({ counts: { written: 1 } });
    await client.next('note');
    // The service cannot remove a user from a group of the token.
    expect(await change(group, { remove: [user] })).toEqual([{ userId: user, status: 'member' }]);
    // A membership by the service lasts longer than the token.
    expect(await change(other, { add: [user] })).toEqual([{ userId: user, status: 'member' }]);
    client.close();
    await client.closed;
    await eventually(async () => expect(await members(group)).toMatchObject({ online: 0 }));
    expect(await members(other)).toMatchObject({ online: 1 });
    await joinBy(user, [group]);
    expect(await members(group)).toMatchObject({ online: 1 });
    expect(await push({ groups: [group] }, 'again')).toEqual({ counts: { written: 1 } });
  });

  it.sequential('[GR1] a renewal adds the groups of the new token', async () => {
    const user = freshUser();
    const [before, after] = [freshGroup(), freshGroup()];
    const client = await joinBy(user, [before]);
    client.send({
      type: 'token',
      data: { token: deployment.gateway.token(user, { claims: { groups: [after] } }) },
    });
    await client.next('token');
    await eventually(async () => expect(await members(after)).toMatchObject({ online: 1 }));
    expect(await members(before)).toMatchObject({ online: 0 });
    expect(await push({ groups: [before] })).toEqual({ counts: {} });
    expect(await push({ groups: [after] })).toEqual({ counts: { written: 1 } });
  });

  it.sequential('the 51st group is refused, by the service and by a token', async () => {
    const { user } = await join();
    const names = Array.from({ length: MAX_GROUPS }, () => freshGroup());
    for (const name of names) await change(name, { add: [user] });
    const one = freshGroup();
    expect(await change(one, { add: [user] })).toEqual([
      { userId: user, status: 'refused', reason: 'too-many-groups' },
    ]);
    expect(await members(one)).toMatchObject({ online: 0 });
    await change(names[0] ?? '', { remove: [user] });
    expect(await change(one, { add: [user] })).toEqual([{ userId: user, status: 'member' }]);
    const { gateway } = deployment;
    const other = freshUser();
    for (const [named, sentence] of [
      [[...names, one], 'LINGXI_MAX_GROUPS_PER_USER'],
      [['a b'], 'a name that no group can have'],
      [['x'.repeat(65)], 'a name that no group can have'],
      [[''], 'a name that no group can have'],
      [[1], 'a name that no group can have'],
      ['guild', 'is no list'],
      [{ a: 1 }, 'is no list'],
    ] as const) {
      const token = gateway.token(other, { claims: { groups: named } });
      const { status, body } = await refusal(gateway.wsUrl, { token });
      expect([status, body['code']]).toEqual([401, 'invalid-token']);
      expect(body['error']).toContain('"groups"');
      expect(body['error']).toContain(sentence);
    }
    (await joinBy(other, names)).terminate();
    (await joinBy(other, [...names, names[0]])).terminate();
    (await joinBy(other, null)).terminate();
  });

  it.sequential('lists members by user id, page by page', async () => {
    const users = await Promise.all(Array.from({ length: 5 }, async () => (await join()).user));
    users.sort((left, right) => left - right);
    const group = freshGroup();
    await change(group, { add: [...users].reverse() });
    const first = await members(group, '?limit=2');
    expect(first).toEqual({ group, online: 5, members: users.slice(0, 2), cursor: expect.any(String) });
    const second = await members(group, `?limit=3&cursor=${String(first['cursor'])}`);
    expect(second).toMatchObject({ online: 5, members: users.slice(2) });
  });

  it.sequential('the audit log has changes by the service', async () => {
    const { user } = await join();
    const group = freshGroup();
    await change(group, { add: [user, freshUser()] });
    const line = await deployment.gateway.waitForLog('audit', (fields) => fields['group'] === group);
    expect(line).toMatchObject({ action: 'group', group, add: 2, remove: 0, member: 1, offline: 1 });
  });

  it.sequential.each([
    ['a name with a space', 'a%20b', {}, 'invalid-request', 'group'],
    ['a name that is too long', 'x'.repeat(65), {}, 'invalid-request', 'group'],
    ['a name with a separator of the stores', 'a%3Bb', {}, 'invalid-request', 'group'],
    ['a name of line ends', '%0A', {}, 'invalid-request', 'group'],
    ['a name beyond ASCII', '%E7%81%B5', {}, 'invalid-request', 'group'],
    ['an unknown field', 'g', { users: [1] }, 'invalid-body', 'users'],
    ['1001 users', 'g', { add: Array.from({ length: 1001 }, (_, n) => n) }, 'invalid-body', 'add'],
    ['1001 to remove', 'g', { remove: Array.from({ length: 1001 }, (_, n) => n) }, 'invalid-body', 'remove'],
    ['no user id', 'g', { add: [1, 'x'] }, 'invalid-user-id', 'add[1]'],
    ['a user in both lists', 'g', { add: [1, 2], remove: [3, '2'] }, 'invalid-body', 'remove[1]'],
    ['no object', 'g', [], 'invalid-body', 'body'],
  ])('%s gets 400 with what is wrong', async (_name, group, body, code, field) => {
    const answer = await service(`/api/groups/${group}`, body);
    expect([answer.status, answer.body['code']]).toEqual([400, code]);
    expect(answer.body['error']).toContain(field);
  });

  it.sequential('reading a group needs a valid name, limit and cursor', async () => {
    for (const path of ['a%20b', 'g?limit=0', 'g?limit=10001', 'g?limit=x', 'g?cursor=-1', 'g?cursor=x']) {
      const answer = await deployment.gateway.service('GET', `/api/groups/${path}`);
      expect([path, answer.status]).toEqual([path, 400]);
    }
  });

  it.sequential.each([
    [{ groups: Array.from({ length: 21 }, (_, n) => `g${n}`) }, 'to.groups (too many)'],
    [{ groups: ['g', 'a b'] }, 'to.groups[1] (1 to 64 of'],
    [{ groups: ['g', 7] }, 'to.groups[1]'],
    [{ groups: 'g' }, 'to.groups'],
    [{ groups: ['g'], except: ['x'] }, 'to.except[0]'],
    [{ groups: ['g'], except: Array.from({ length: 10_001 }, (_, n) => n) }, 'to.except (too many)'],
    [{ groups: ['g'], expect: [1] }, 'Field: to'],
    [{ except: [1] }, 'Field: to'],
    [{ groups: ['g'], all: true }, 'Field: to'],
  ])('a push to %j gets 400 with what is wrong', async (to, error) => {
    const answer = await service('/api/messages', { to, type: 'x', data: 1 });
    expect(answer.status).toBe(400);
    expect(answer.body['error']).toContain(error);
  });

  it.sequential('are only for the service', async () => {
    const { gateway } = deployment;
    const user = freshUser();
    for (const method of ['GET', 'POST'] as const) {
      const body = method === 'POST' ? { body: {} } : {};
      expect((await gateway.call(method, '/api/groups/g', { ...body })).status).toBe(401);
      expect(
        (await gateway.call(method, '/api/groups/g', { ...body, token: gateway.token(user) })).status,
      ).toBe(403);
    }
  });
});
