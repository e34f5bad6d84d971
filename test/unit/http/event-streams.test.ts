import { describe, expect, it } from 'vitest';
import { EventStreams } from '../../../src/http/routes/event-streams.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { silentLog } from '../../../src/logging/log.ts';

function build() {
  const presence = { feed: () => Promise.resolve([]) };
  const streams = new EventStreams({ presence, clock: new FakeClock(), log: silentLog });
  const open = (): Response => {
    const outcome = streams.open('0');
    if (!outcome.ok) throw new Error(outcome.error.code);
    return outcome.value;
  };
  return { streams, open };
}

describe('the streams of the feed when the node stops', () => {
  it('[DR1] end, and a stream that opens afterwards ends at once', async () => {
    const { streams, open } = build();
    const before = [open(), open()];
    streams.end();
    const all = [...before, open()];
    expect(await Promise.all(all.map((response) => response.text()))).toEqual([':\n\n', ':\n\n', ':\n\n']);
  });

  it('[DR1] end only once, and leave their places free', async () => {
    const { streams, open } = build();
    const [stays] = Array.from({ length: 100 }, () => open());
    expect(() => open()).toThrow('overloaded');
    await stays?.body?.cancel();
    streams.end();
    streams.end();
    expect(await open().text()).toBe(':\n\n');
  });
});
