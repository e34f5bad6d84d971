import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventStreamReader } from '../../../pages/dashboard/event-stream.ts';

describe('a stream of events', () => {
  it('is read in the same way, wherever its pieces are cut', () => {
    const text = ': hello\n\nevent: counts\ndata: {"a":1}\n\ndata: one\ndata:two\r\n\r\n:\nevent: x\n\n';
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 8 }), (cuts) => {
        const reader = new EventStreamReader();
        const places = [0, ...cuts.sort((left, right) => left - right), text.length];
        const events = places.flatMap((place, index) =>
          reader.push(text.slice(place, places[index + 1] ?? text.length)),
        );
        expect(events).toEqual([
          { event: 'counts', data: '{"a":1}' },
          { event: 'message', data: 'one\ntwo' },
        ]);
      }),
    );
  });

  it('with an endless event is an error, in one line or in many', () => {
    const long = 'x'.repeat(3_000_000);
    const oneLine = new EventStreamReader();
    oneLine.push(`data: ${long}`);
    expect(() => oneLine.push(long)).toThrow(RangeError);
    const manyLines = new EventStreamReader();
    manyLines.push(`data: ${long}\n`);
    expect(() => manyLines.push(`data: ${long}\n`)).toThrow(RangeError);
  });
});
