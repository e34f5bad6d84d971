import { describe, expect, it } from 'vitest';
import { createHarness } from './support.ts';

const BAD_IDS: readonly unknown[] = [
  '',
  '*',
  'a:b',
  '1\r\n2',
  '1\u0000',
  '1\n',
  '7'.repeat(10_000),
  2 ** 53,
  '9007199254740993',
  -1,
  '-1',
  '+1',
  '01',
  1.5,
  '1e3',
  true,
  null,
  [],
  {},
  undefined,
];

describe('bad input', () => {
  it('[61] invalid ids get 400 and reach neither presence nor the log', async () => {
    const { ask, presence, logged, pushed } = createHarness();
    for (const playerId of BAD_IDS) {
      for (const path of ['login', 'heartbeat', 'logout']) {
        const answer = await ask(`/api/online/${path}`, { as: 'service', body: { playerId } });
        expect([answer.status, answer.body['code']]).toEqual([400, 'invalid-user-id']);
        expect(answer.body['error']).toContain('playerId');
      }
      const status = await ask('/api/online/status', { as: 'service', body: { userIds: [1, playerId] } });
      expect(status.body['error']).toContain('userIds[1]');
      const push = await ask('/api/messages', {
        as: 'service',
        body: { to: { userIds: [playerId] }, type: 'x' },
      });
      expect([push.status, push.body['code']]).toEqual([400, 'invalid-user-id']);
    }
    for (const id of ['a:b', '%00', '1%0D%0A', '%2A', '9007199254740992', '%zz']) {
      expect((await ask(`/api/online/player/${id}`, { as: 'service' })).status).toBe(400);
      expect((await ask(`/api/users/${id}/disconnect`, { as: 'service', body: {} })).status).toBe(400);
    }
    expect([presence.calls, pushed, logged]).toEqual([[], [], []]);
  });

  it('bodies that are not JSON get 400 invalid-json', async () => {
    const { ask } = createHarness();
    for (const raw of ['', '{', 'null x', '{"playerId":1,}', "{'a':1}", '\ufeff\ufeff{}', '[1', '"\u0001"']) {
      const answer = await ask('/api/online/login', { as: 42, raw, method: 'POST' });
      expect([raw, answer.status, answer.body['code']]).toEqual([raw, 400, 'invalid-json']);
    }
    const invalidUtf8 = new ReadableStream({
      start(controller) {
        controller.enqueue(Uint8Array.of(0x22, 0xff, 0x22));
        controller.close();
      },
    });
    const answer = await ask('/api/online/login', { as: 42, raw: invalidUtf8, method: 'POST' });
    expect(answer.body['code']).toBe('invalid-json');
  });

  it('bodies of the wrong shape get 400 invalid-body', async () => {
    const { ask } = createHarness();
    for (const raw of ['null', '[]', '"x"', '7', 'true'])
      expect((await ask('/api/online/login', { as: 42, raw, method: 'POST' })).body['code']).toBe(
        'invalid-body',
      );
    const ip = await ask('/api/online/login', { as: 'service', body: { playerId: 1, ip: 'a\r\nb' } });
    expect([ip.status, ip.body['code']]).toEqual([400, 'invalid-body']);
    expect(ip.body['error']).toContain('ip');
  });

  it('[59] deep nesting is refused before parsing; brackets in strings do not count', async () => {
    const { ask, pushed } = createHarness({ maxBodyBytes: 1_048_576 });
    for (const depth of [129, 10_000, 500_000]) {
      const raw = `{"to":{"all":true},"type":"x","data":${'['.repeat(depth)}${']'.repeat(depth)}}`;
      const answer = await ask('/api/messages', { as: 'service', raw, method: 'POST' });
      expect([answer.status, answer.body['code']]).toEqual([400, 'invalid-json']);
    }
    const data = `\\"${'[{'.repeat(500)}\\`;
    const fine = await ask('/api/messages', { as: 'service', body: { to: { all: true }, type: 'x', data } });
    expect(fine.status).toBe(200);
    expect(pushed).toEqual([{ to: { all: true }, type: 'x', dataText: JSON.stringify(data) }]);
  });

  it('[60] __proto__ changes no prototype', async () => {
    const { ask, presence } = createHarness();
    const raw = '{"playerId":42,"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}';
    expect((await ask('/api/online/login', { as: 42, raw, method: 'POST' })).status).toBe(200);
    const push = '{"to":{"userId":1,"__proto__":{"all":true}},"type":"x"}';
    expect((await ask('/api/messages', { as: 'service', raw: push, method: 'POST' })).status).toBe(400);
    expect(Object.keys(presence.calls[0] ?? {})).toEqual(['call', 'userId', 'ip', 'username']);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it('a body over the limit gets 413, by its declared and by its real size', async () => {
    const { ask, presence } = createHarness({ maxBodyBytes: 1000 });
    const declared = { 'content-length': '1001' };
    const body = { playerId: 42 };
    expect((await ask('/api/online/login', { as: 42, headers: declared, body })).status).toBe(413);
    const lying = { 'content-length': '10' };
    const raw = ' '.repeat(1001);
    expect((await ask('/api/online/login', { as: 42, headers: lying, raw })).status).toBe(413);
    let chunks = 0;
    const endless = new ReadableStream({
      pull(controller) {
        chunks += 1;
        controller.enqueue(new Uint8Array(100));
      },
    });
    const answer = await ask('/api/online/login', { as: 42, raw: endless });
    expect([answer.status, answer.body['code']]).toEqual([413, 'payload-too-large']);
    // The server keeps reading for a while, so that the client sees the answer.
    expect(chunks).toBeLessThan(60);
    expect(presence.calls).toEqual([]);
  });

  it('a body in a thousand pieces of one byte is cut off, at any size', async () => {
    const { ask, presence } = createHarness();
    const pieces = (count: number) => {
      let sent = 0;
      return new ReadableStream({
        pull(controller) {
          sent += 1;
          if (sent > count) controller.close();
          else controller.enqueue(Buffer.from(sent === 1 ? '{' : sent === count ? '}' : ' '));
        },
      });
    };
    const few = await ask('/api/online/status', { as: 'service', raw: pieces(900) });
    expect([few.status, few.body['code']]).toEqual([400, 'invalid-body']);
    const many = await ask('/api/online/status', { as: 'service', raw: pieces(2000) });
    expect([many.status, many.body['code']]).toEqual([413, 'payload-too-large']);
    expect(presence.calls).toEqual([]);
  });

  it('an unknown field of a service call is refused by name, because it may be misspelt', async () => {
    const { ask, presence } = createHarness();
    for (const [path, body, field] of [
      ['/api/drain', { nodes: 'b' }, 'nodes'],
      ['/api/users/31/disconnect', { blockms: 60_000 }, 'blockms'],
      ['/api/online/status', { userIds: [1], x: 1 }, 'x'],
    ] as const) {
      const answer = await ask(path, { as: 'service', body });
      expect([answer.status, answer.body['code']]).toEqual([400, 'invalid-body']);
      expect(answer.text).toContain(`Field: ${field} (unknown)`);
    }
    expect(presence.calls).toEqual([]);
  });

  it('an exception gives 500 without its text, and one line in the log', async () => {
    const { ask, presence, logged } = createHarness();
    presence.login = () => Promise.reject(new Error('secret detail'));
    const answer = await ask('/api/online/login', { as: 42, body: { playerId: 42 } });
    expect([answer.status, answer.body['code']]).toEqual([500, 'internal']);
    expect(answer.text).not.toContain('secret');
    expect(logged).toMatchObject([{ event: 'internal-error', cause: 'secret detail' }]);
    presence.login = () => Promise.reject('no error at all');
    expect((await ask('/api/online/login', { as: 42, body: { playerId: 42 } })).status).toBe(500);
  });
});
