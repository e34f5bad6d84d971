import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { plainTraits, type QueueTraits, SendQueue } from '../../../src/connection/send-queue.ts';
import { PRIORITIES } from '../../../src/protocol/delivery.ts';

const POLICIES = ['drop-newest', 'drop-oldest', 'conflate', 'disconnect'] as const;

interface Step {
  readonly do: 'push' | 'shift' | 'wait';
  readonly bytes: number;
  readonly traits: Omit<QueueTraits, 'expiresAt'> & { readonly ttl: number };
}

const step: fc.Arbitrary<Step> = fc.record({
  do: fc.constantFrom('push', 'push', 'push', 'push', 'shift', 'wait'),
  bytes: fc.integer({ min: 6, max: 60 }),
  traits: fc.record({
    type: fc.constantFrom('a', 'b'),
    key: fc.constantFrom(undefined, undefined, 'k', 'l'),
    priority: fc.constantFrom(...PRIORITIES),
    ttl: fc.constantFrom(Number.POSITIVE_INFINITY, 2, 5),
  }),
});

describe('the queue behind a slow socket', () => {
  it('[DL3] [DL4] keeps its bounds, loses nothing without a count, and keeps the order of each priority', () => {
    const scenario = fc.record({
      policy: fc.constantFrom(...POLICIES),
      messages: fc.integer({ min: 1, max: 5 }),
      bytes: fc.integer({ min: 20, max: 200 }),
      steps: fc.array(step, { maxLength: 60 }),
    });
    fc.assert(
      fc.property(scenario, ({ policy, messages, bytes, steps }) => {
        const queue = new SendQueue({ policy, messages, bytes });
        const newest = new Map<string, number>();
        let [now, pushed, gone, lost] = [0, 0, 0, 0];
        const take = (): boolean => {
          const entry = queue.shift();
          if (entry === undefined) return false;
          const number = Number.parseInt(entry.text, 10);
          expect(number).toBeGreaterThan(newest.get(entry.traits.priority) ?? -1);
          newest.set(entry.traits.priority, number);
          gone += 1;
          return true;
        };
        for (const { do: what, bytes: size, traits } of steps) {
          if (what === 'wait') now += 1;
          if (what === 'shift') take();
          if (what !== 'push') continue;
          const { ttl, ...rest } = traits;
          const text = String(pushed).padEnd(size, ' ');
          const told = queue.push(text, { ...rest, expiresAt: now + ttl }, now);
          pushed += 1;
          lost += told.evicted + told.replaced + told.expired + (told.outcome === 'queued' ? 0 : 1);
          expect(told.outcome).not.toBe(policy === 'disconnect' ? 'full' : 'disconnect');
          if (policy !== 'conflate' || traits.key === undefined) expect(told.replaced).toBe(0);
          expect(queue.length).toBeLessThanOrEqual(messages);
          expect(queue.bytes).toBeLessThanOrEqual(bytes);
          expect(queue.length + gone + lost).toBe(pushed);
        }
        while (take());
        expect([queue.length, queue.bytes, queue.isTimed]).toEqual([0, 0, false]);
        expect(gone + lost).toBe(pushed);
      }),
      { numRuns: 1000 },
    );
  });

  it('[DL4] returns high before normal, and normal before low', () => {
    const queue = new SendQueue({ policy: 'drop-newest', messages: 10, bytes: 1000 });
    const order = ['low', 'normal', 'high', 'low', 'high'] as const;
    for (const [number, priority] of order.entries())
      queue.push(`${number}`, { ...plainTraits('t'), priority }, 0);
    expect(order.map(() => queue.shift()?.text)).toEqual(['2', '4', '1', '0', '3']);
  });

  it.each([
    ['drop-newest', ['h', 'n', 'l1']],
    ['drop-oldest', ['h', 'n', 'l2']],
    ['conflate', ['h', 'n', 'l1']],
  ] as const)('[DL3] %s: in a full queue one of the lowest priority gives way', (policy, left) => {
    const queue = new SendQueue({ policy, messages: 3, bytes: 1000 });
    const push = (text: string, priority: QueueTraits['priority']) =>
      queue.push(text, { ...plainTraits(text), priority }, 0).outcome;
    expect([push('l1', 'low'), push('l2', 'low'), push('n', 'normal'), push('h', 'high')]).toEqual(
      new Array(4).fill('queued'),
    );
    expect([queue.shift(), queue.shift(), queue.shift()].map((entry) => entry?.text)).toEqual(left);
  });

  it('[DL3] conflate: a match by type replaces no message of a higher priority', () => {
    const queue = new SendQueue({ policy: 'conflate', messages: 2, bytes: 1000 });
    const push = (text: string, priority: QueueTraits['priority']) =>
      queue.push(text, { ...plainTraits('t'), priority }, 0).outcome;
    expect([push('h', 'high'), push('n1', 'normal'), push('l', 'low'), push('n2', 'normal')]).toEqual([
      ...['queued', 'queued', 'full', 'queued'],
    ]);
    expect([queue.shift()?.text, queue.shift()?.text]).toEqual(['h', 'n2']);
  });

  it('[DL3] a replacement that would not fit removes nothing', () => {
    const queue = new SendQueue({ policy: 'conflate', messages: 10, bytes: 20 });
    const traits = (key: string): QueueTraits => ({
      type: 't',
      key,
      priority: 'normal',
      expiresAt: Number.POSITIVE_INFINITY,
    });
    queue.push('a'.repeat(10), traits('a'), 0);
    queue.push('b'.repeat(10), traits('b'), 0);
    expect(queue.push('c'.repeat(15), traits('a'), 0)).toMatchObject({ outcome: 'full', replaced: 0 });
    expect([queue.shift()?.text[0], queue.shift()?.text[0]]).toEqual(['a', 'b']);
  });
});
