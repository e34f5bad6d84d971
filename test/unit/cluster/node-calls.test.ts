import { describe, expect, it } from 'vitest';
import { Inbox } from '../../../src/cluster/inbox.ts';
import { NodeCalls } from '../../../src/cluster/node-calls.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { err, ok } from '../../../src/lib/result.ts';
import { Switchboard } from './switchboard.ts';

function build() {
  const clock = new FakeClock();
  const bus = new Switchboard();
  const warned: unknown[] = [];
  const none = (): void => undefined;
  const log = { debug: none, info: none, error: none, warn: (fields: unknown) => warned.push(fields) };
  let ids = 0;
  const node = (name: string) => {
    const inbox = new Inbox({ bus, node: name, log, counters: { nodeFramesMissed: 0 } });
    const post = bus.postOf(name);
    const calls = new NodeCalls({ post, inbox, clock, newId: () => `${name}-${(ids += 1)}` });
    return {
      ask: calls.ask.bind(calls),
      async listen(answer: (call: unknown, from: string) => unknown) {
        calls.serve(answer);
        await inbox.listen();
      },
    };
  };
  return { clock, bus, warned, a: node('a'), b: node('b') };
}

describe('calls between nodes', () => {
  it('return the answer of the called node, and name the caller', async () => {
    const { a, b } = build();
    await a.listen(() => undefined);
    await b.listen((call, from) => ({ heard: call, from }));
    expect(await a.ask('b', { drain: true }, 1000)).toEqual(ok({ heard: { drain: true }, from: 'a' }));
  });

  it.each<[string, (parts: ReturnType<typeof build>) => Promise<void>]>([
    ['the message is lost', async ({ b, bus }) => b.listen(() => 'late').then(() => void (bus.lossy = true))],
    ['the call is not known there', async ({ b }) => b.listen(() => undefined)],
  ])('end after their timeout if %s', async (_name, prepare) => {
    const parts = build();
    await parts.a.listen(() => undefined);
    await prepare(parts);
    let answer: unknown;
    void parts.a.ask('b', {}, 1000).then((value) => (answer = value));
    await parts.clock.advanceAsync(999);
    expect(answer).toBeUndefined();
    await parts.clock.advanceAsync(1);
    expect(answer).toEqual(err('no-answer'));
  });

  it('end at once if the node does not listen', async () => {
    expect(await build().a.ask('b', {}, 1000)).toEqual(err('no-answer'));
  });

  it('end at once if the bus is down', async () => {
    const { a, bus } = build();
    bus.cut = true;
    expect(await a.ask('b', {}, 1000)).toEqual(err('no-answer'));
  });

  it('accept only one answer, for the right call, and in time', async () => {
    const { a, b, bus, clock } = build();
    await a.listen(() => undefined);
    await b.listen(() => undefined);
    const asked = a.ask('b', {}, 1000);
    const { id } = JSON.parse(bus.published[0]?.text ?? '') as { id: string };
    const frame = (n: number, members: object) =>
      JSON.stringify({ n, from: 'b', kind: 'answer', ...members });
    await bus.publish('node:a', frame(1, { id: 'another', answer: 1 }));
    for (const answer of [2, 3]) await bus.publish('node:a', frame(answer, { id, answer }));
    expect(await asked).toEqual(ok(2));
    const late = a.ask('b', {}, 1000);
    const again = JSON.parse(bus.published.at(-1)?.text ?? '') as { id: string };
    await clock.advanceAsync(1000);
    await bus.publish('node:a', frame(4, { id: again.id, answer: 4 }));
    expect(await late).toEqual(err('no-answer'));
  });

  it('never throw for other texts on their topic, and log them', async () => {
    const { a, bus, warned } = build();
    const heard: unknown[] = [];
    await a.listen((call) => void heard.push(call));
    const texts = [
      '',
      'no json',
      'null',
      '7',
      '[]',
      '{}',
      '{"n":1,"kind":"call","id":1,"from":"b","call":1}',
      '{"n":2,"kind":"call","id":"x","from":"b"}',
      '{"n":3,"kind":"answer","id":"x","from":"b"}',
      '{"n":4,"kind":"other","from":"b"}',
      '{"n":0,"kind":"call","id":"x","from":"b","call":1}',
      '{"kind":"call","id":"x","from":"b","call":1}',
      '{"n":5,"kind":"call","id":"x","call":1}',
    ];
    for (const text of texts) await bus.publish('node:a', text);
    expect(heard).toEqual([]);
    expect(warned).toHaveLength(texts.length);
  });

  it('are bounded in number', async () => {
    const { a, b, bus } = build();
    await b.listen(() => undefined);
    const waiting = Array.from({ length: 1000 }, () => a.ask('b', {}, 1000));
    expect(await a.ask('b', {}, 1000)).toEqual(err('no-answer'));
    expect(bus.published).toHaveLength(waiting.length);
  });
});
