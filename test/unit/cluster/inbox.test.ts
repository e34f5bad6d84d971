import { describe, expect, it } from 'vitest';
import { Inbox } from '../../../src/cluster/inbox.ts';
import type { LogFields } from '../../../src/logging/log.ts';
import { Switchboard } from './switchboard.ts';

async function build() {
  const bus = new Switchboard();
  const logged: LogFields[] = [];
  const note = (fields: LogFields): void => void logged.push(fields);
  const log = { debug: note, info: note, warn: note, error: note };
  const counters = { nodeFramesMissed: 0 };
  const inbox = new Inbox({ bus, node: 'a', log, counters });
  const taken: number[] = [];
  inbox.on('x', ({ members }) => {
    taken.push(Number(members['n']));
    return true;
  });
  inbox.on('broken', () => {
    throw new Error('a bug');
  });
  await inbox.listen();
  const hear = (from: string, n: number, kind = 'x') =>
    bus.publish('node:a', JSON.stringify({ n, from, kind }));
  return { hear, logged, counters, taken };
}

describe('[DL7] the frames of other nodes', () => {
  it('arrive in order without a log line', async () => {
    const { hear, logged, counters, taken } = await build();
    for (const n of [1, 2, 3]) await hear('b', n);
    await hear('c', 1);
    expect([taken, logged, counters.nodeFramesMissed]).toEqual([[1, 2, 3, 1], [], 0]);
  });

  it('that are missing are counted and logged, by sender', async () => {
    const { hear, logged, counters, taken } = await build();
    for (const [from, n] of [
      ['b', 1],
      ['b', 4],
      ['b', 5],
      ['c', 2],
    ] as const)
      await hear(from, n);
    expect(taken).toEqual([1, 4, 5, 2]);
    expect(counters.nodeFramesMissed).toBe(3);
    expect(logged).toEqual([
      { event: 'node-frames-missed', from: 'b', missed: 2 },
      { event: 'node-frames-missed', from: 'c', missed: 1 },
    ]);
  });

  it('that begin again, because Redis lost the numbers, are no gap', async () => {
    const { hear, counters, taken } = await build();
    for (const n of [1, 2, 3, 1, 2]) await hear('b', n);
    expect([taken.length, counters.nodeFramesMissed]).toEqual([5, 0]);
  });

  it('whose handler throws stop no others', async () => {
    const { hear, logged, taken } = await build();
    await hear('b', 1, 'broken');
    await hear('b', 2);
    expect(taken).toEqual([2]);
    expect(logged).toMatchObject([{ event: 'internal-error', where: 'bus', kind: 'broken' }]);
  });
});
