import { describe, expect, it } from 'vitest';
import { createHarness } from './support.ts';

const message = { to: { userId: 42 }, type: 'spirit-grow', data: { gain: 5 } };

describe('POST /api/messages', () => {
  it('pushes to one, to many and to all', async () => {
    const { ask, pushed } = createHarness();
    const one = await ask('/api/messages', { as: 'service', body: message });
    expect(one.body).toEqual({
      results: [{ userId: 42, status: 'written', connections: 1 }],
      counts: { written: 1 },
    });
    await ask('/api/messages', {
      as: 'service',
      body: { to: { userIds: ['1', 2] }, type: 'x', ack: true, timeoutMs: 10_000 },
    });
    const all = await ask('/api/messages', {
      as: 'service',
      body: { to: { all: true }, type: 'x', data: 0 },
    });
    expect(all.body).toEqual({ counts: { written: 2 } });
    const { data, ...rest } = message;
    expect(pushed).toEqual([
      { ...rest, dataText: JSON.stringify(data) },
      { to: { userIds: [1, 2] }, type: 'x', dataText: 'null', ack: true, timeoutMs: 10_000 },
      { to: { all: true }, type: 'x', dataText: '0' },
    ]);
  });

  it('[DL4] answers a batch with an array and handles it in its order', async () => {
    const { ask, pushed } = createHarness();
    const batch = Array.from({ length: 1000 }, (_, index) => ({ ...message, data: index }));
    const answer = await ask('/api/messages', { as: 'service', body: batch });
    expect(answer.body).toHaveLength(1000);
    expect(pushed.map(({ dataText }) => dataText)).toEqual(batch.map(({ data }) => String(data)));
    expect((await ask('/api/messages', { as: 'service', body: [] })).body).toEqual([]);
    const tooMany = await ask('/api/messages', { as: 'service', body: [...batch, message] });
    expect([tooMany.status, tooMany.body['code']]).toEqual([400, 'invalid-body']);
  });

  it.each([
    ['to', { type: 'x' }],
    ['to', { ...message, to: {} }],
    ['to', { ...message, to: { userId: 1, all: true } }],
    ['to', { ...message, to: [1] }],
    ['to.all', { ...message, to: { all: false } }],
    ['to.room', { ...message, to: { room: 1 } }],
    ['to.userIds', { ...message, to: { userIds: 1 } }],
    ['to.userIds', { ...message, to: { userIds: Array.from({ length: 10_001 }, () => 1) } }],
    ['to.userIds[1]', { ...message, to: { userIds: [1, 'x'] } }],
    ['to.userId', { ...message, to: { userId: -1 } }],
    ['type', { ...message, type: '' }],
    ['type', { ...message, type: 7 }],
    ['type', { ...message, type: 'x'.repeat(129) }],
    ['type', { ...message, type: 'pong' }],
    ['ack', { ...message, ack: 'yes' }],
    ['timeoutMs', { ...message, timeoutMs: 0 }],
    ['timeoutMs', { ...message, timeoutMs: 10_001 }],
    ['timeoutMs', { ...message, timeoutMs: 1.5 }],
    ['key', { ...message, key: '' }],
    ['key', { ...message, key: 'x'.repeat(65) }],
    ['key', { ...message, key: 7 }],
    ['priority', { ...message, priority: 'urgent' }],
    ['priority', { ...message, priority: 1 }],
    ['ttlMs', { ...message, ttlMs: 0 }],
    ['ttlMs', { ...message, ttlMs: -1 }],
    ['ttlMs', { ...message, ttlMs: 1.5 }],
    ['ttlMs', { ...message, ttlMs: 86_400_001 }],
    ['ttlMs', { ...message, ttlMs: '5' }],
    ['idempotencyKey', { ...message, idempotencyKey: '' }],
    ['idempotencyKey', { ...message, idempotencyKey: 'x'.repeat(65) }],
    ['idempotencyKey', { ...message, idempotencyKey: 'a\nb' }],
    ['idempotencyKey', { ...message, idempotencyKey: '\ud800' }],
    ['idempotencyKey', { ...message, idempotencyKey: null }],
    ['(message)', null],
    ['[1].type', [message, { ...message, type: '' }]],
    ['[0].(message)', [[message]]],
  ])('refuses a wrong %s, and pushes nothing', async (field, body) => {
    const { ask, pushed } = createHarness();
    const answer = await ask('/api/messages', { as: 'service', raw: JSON.stringify(body), method: 'POST' });
    expect(answer.status).toBe(400);
    expect(answer.body['error']).toContain(`Field: ${field}`);
    expect(pushed).toEqual([]);
  });

  it('repeats an unknown field name only if it is harmless', async () => {
    const { ask } = createHarness();
    const answer = await ask('/api/messages', { as: 'service', body: { ...message, '<b>\r\n\u0000': 1 } });
    expect(answer.body['error']).toContain('Field: ?b???? (not supported)');
    expect(answer.text).not.toMatch(/<b>|\\r|\\u0000/);
  });
});
