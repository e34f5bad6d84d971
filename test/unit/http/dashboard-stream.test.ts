import { describe, expect, it } from 'vitest';
import { DashboardStreams } from '../../../src/http/routes/dashboard-stream.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import type { LiveReader } from '../../../src/overview/api.ts';

const EVENT = `event: counts\ndata: ${'x'.repeat(1_000)}\n\n`;

function build() {
  const clock = new FakeClock();
  const readers = new Set<LiveReader>();
  const dashboard = {
    live: (reader: LiveReader) => {
      readers.add(reader);
      return () => void readers.delete(reader);
    },
  };
  const streams = new DashboardStreams({ dashboard, clock });
  const open = (): Response => {
    const outcome = streams.open();
    if (!outcome.ok) throw new Error(outcome.error.code);
    return outcome.value;
  };
  const tell = (times: number): void => {
    for (let event = 0; event < times; event += 1) for (const reader of [...readers]) reader.take(EVENT);
  };
  return { clock, readers, open, tell };
}

describe('a live stream', () => {
  it('[DB2] keeps little for a reader that does not read, and ends it after 10 s', async () => {
    const { clock, readers, open, tell } = build();
    const response = open();
    tell(1_000);
    await clock.advanceAsync(9_000);
    tell(1);
    expect(readers.size).toBe(1);
    await clock.advanceAsync(2_000);
    tell(1);
    expect(readers.size).toBe(0);
    await expect(response.text()).rejects.toThrow('took nothing');
  });

  it('[DB2] continues for a reader that reads again in time', async () => {
    const { clock, readers, open, tell } = build();
    const reader = open().body?.getReader();
    tell(1_000);
    await clock.advanceAsync(9_000);
    let waiting = 0;
    for (; waiting < 60; waiting += 1) await reader?.read();
    tell(1);
    await clock.advanceAsync(5_000);
    tell(1);
    expect(readers.size).toBe(1);
    await reader?.cancel();
    expect(readers.size).toBe(0);
  });

  it('has a comment with the first event, and another after 4 s', async () => {
    const { clock, open, tell } = build();
    const reader = open().body?.getReader();
    const texts: string[] = [];
    for (let event = 0; event < 12; event += 1) {
      tell(1);
      texts.push(new TextDecoder().decode((await reader?.read())?.value));
      await clock.advanceAsync(500);
    }
    expect(texts.map((text) => text.startsWith(':'))).toEqual(
      Array.from({ length: 12 }, (_, index) => index % 8 === 0),
    );
  });
});
