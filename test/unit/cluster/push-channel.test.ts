import { describe, expect, it } from 'vitest';
import { listenOnPushChannel } from '../../../src/cluster/push-channel.ts';
import { parseBatch, parsePushText } from '../../../src/cluster/push-request.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { Counters } from '../../../src/metrics/counters.ts';
import type { PushRequest } from '../../../src/protocol/delivery.ts';

describe('the push channel', () => {
  it('carries pushes of other programs, and logs invalid ones', async () => {
    const pushed: PushRequest[] = [];
    const times: number[] = [];
    const warned: unknown[] = [];
    const subscribed: string[] = [];
    let publish: (channel: string, text: string) => void = () => undefined;
    const none = (): void => undefined;
    const clock = new FakeClock();
    await listenOnPushChannel(
      {
        subscribe: (channel) => Promise.resolve(subscribed.push(channel)),
        on: (_event, listener) => {
          publish = listener;
        },
      },
      {
        channel: 'lingxi:push',
        clock,
        counters: new Counters(),
        log: { debug: none, info: none, error: none, warn: (fields) => warned.push(fields) },
        push: (request, since) => {
          pushed.push(request);
          times.push(since);
        },
      },
    );
    publish('lingxi:push', '{"to":{"userId":"7"},"type":"x","data":{"a":1}}');
    publish('lingxi:push', '{"to":{"all":true},"type":"x"}');
    publish('another', '{"to":{"all":true},"type":"x"}');
    for (const text of ['', 'no json', '{"to":{"userId":-1},"type":"x"}', '{"to":{"all":true}}'])
      publish('lingxi:push', text);
    expect(pushed).toEqual([]);
    // The wait for a turn counts towards ttlMs.
    clock.stall(30);
    clock.advance(0);
    expect(times).toEqual([0, 0]);
    expect(subscribed).toEqual(['lingxi:push']);
    expect(pushed).toEqual([
      { to: { userId: 7 }, type: 'x', dataText: '{"a":1}' },
      { to: { all: true }, type: 'x', dataText: 'null' },
    ]);
    expect(warned).toHaveLength(4);
  });
});

describe('the push of a service', () => {
  it.each([
    [{ to: { userIds: [1, '2'] }, type: 'x', data: 0, ack: true, timeoutMs: 10_000 }, { userIds: [1, 2] }],
    [{ to: { userIds: [] }, type: 'x' }, { userIds: [] }],
    [
      { to: { groups: ['g:1'], except: ['7', 8] }, type: 'x' },
      { groups: ['g:1'], except: [7, 8] },
    ],
  ])('%j is valid', (input, to) => {
    expect(parsePushText(JSON.stringify(input))).toMatchObject({ ok: true, value: { to } });
  });

  it.each([
    [null, '(message)', 'invalid'],
    [[], '(message)', 'invalid'],
    [{ to: { userId: 1 }, type: 'x', colour: 1 }, 'colour', 'unknown'],
    [
      { to: { userId: 1 }, type: 'x', ['<script>'.repeat(9)]: 1 },
      '?script??script??script??script?',
      'unknown',
    ],
    [{ type: 'x' }, 'to', 'invalid'],
    [{ to: { userId: 1, all: true }, type: 'x' }, 'to', 'invalid'],
    [{ to: { all: false }, type: 'x' }, 'to.all', 'invalid'],
    [{ to: { group: 1 }, type: 'x' }, 'to.group', 'unknown'],
    [{ to: { userId: '01' }, type: 'x' }, 'to.userId', 'invalid-user-id'],
    [{ to: { userIds: [1, 2.5] }, type: 'x' }, 'to.userIds[1]', 'invalid-user-id'],
    [{ to: { userIds: Array.from({ length: 10_001 }, () => 1) }, type: 'x' }, 'to.userIds', 'too-many'],
    [
      { to: { userIds: ['x', ...Array.from({ length: 10_000 }, () => 1)] }, type: 'x' },
      'to.userIds',
      'too-many',
    ],
    [{ to: { userIds: 7 }, type: 'x' }, 'to.userIds', 'invalid'],
    [{ to: { groups: 'g' }, type: 'x' }, 'to.groups', 'invalid'],
    [{ to: { groups: ['g', 'a b'] }, type: 'x' }, 'to.groups[1]', 'invalid-group'],
    [{ to: { groups: ['g', 7] }, type: 'x' }, 'to.groups[1]', 'invalid-group'],
    [{ to: { groups: Array.from({ length: 21 }, () => 'g') }, type: 'x' }, 'to.groups', 'too-many'],
    [{ to: { groups: ['g'], except: [1, '01'] }, type: 'x' }, 'to.except[1]', 'invalid-user-id'],
    [{ to: { groups: ['g'], except: 1 }, type: 'x' }, 'to.except', 'invalid'],
    [{ to: { userId: 1, except: [1] }, type: 'x' }, 'to', 'invalid'],
    [{ to: { except: [1] }, type: 'x' }, 'to.except', 'unknown'],
    [{ to: [1], type: 'x' }, 'to', 'invalid'],
    [{ to: null, type: 'x' }, 'to', 'invalid'],
    [{ to: {}, type: 'x' }, 'to', 'invalid'],
    [JSON.parse('{"__proto__":1,"to":{"userId":1},"type":"x"}'), '__proto__', 'unknown'],
    [JSON.parse('{"to":{"__proto__":1},"type":"x"}'), 'to.__proto__', 'unknown'],
    [{ colour: 1, to: { userId: -1 }, type: '' }, 'colour', 'unknown'],
    [{ to: { userId: -1 }, type: '', ack: 1 }, 'to.userId', 'invalid-user-id'],
    [{ to: { userId: 1 }, type: 7, ack: 1, timeoutMs: 0 }, 'type', 'invalid'],
    [{ to: { userId: 1 }, type: 'x', ack: null }, 'ack', 'invalid'],
    [{ to: { userId: 1 }, type: 'x', timeoutMs: null }, 'timeoutMs', 'invalid'],
    [{ to: { userId: 1 }, type: '' }, 'type', 'invalid'],
    [{ to: { userId: 1 }, type: 'x'.repeat(129) }, 'type', 'invalid'],
    [{ to: { userId: 1 }, type: 'welcome' }, 'type', 'reserved'],
    [{ to: { userId: 1 }, type: 'x', ack: 1 }, 'ack', 'invalid'],
    [{ to: { userId: 1 }, type: 'x', timeoutMs: 10_001 }, 'timeoutMs', 'invalid'],
    [{ to: { userId: 1 }, type: 'x', timeoutMs: 0 }, 'timeoutMs', 'invalid'],
  ])('is refused with the faulty field (%#)', (input, field, kind) => {
    expect(parsePushText(JSON.stringify(input))).toEqual({ ok: false, error: { field, kind } });
  });

  it('a batch is bounded, and its error names the faulty message', () => {
    const good = { to: { userId: 1 }, type: 'x' };
    const batch = (value: readonly unknown[]) => parseBatch({ text: JSON.stringify(value), value });
    expect(batch([good, good])).toMatchObject({ ok: true });
    expect(batch([good, { ...good, type: 3 }])).toEqual({
      ok: false,
      error: { field: '[1].type', kind: 'invalid' },
    });
    const many = Array.from({ length: 1001 }, () => good);
    expect(batch(many)).toEqual({ ok: false, error: { field: '(batch)', kind: 'too-many' } });
  });
});
