import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeReport, encodeReport } from '../../../src/cluster/kept-report.ts';
import {
  countsOf,
  DELIVERY_STATUSES,
  type Delivery,
  DROP_REASONS,
  type PushRequest,
} from '../../../src/protocol/delivery.ts';

const outcome = fc.record(
  {
    status: fc.constantFrom(...DELIVERY_STATUSES),
    connections: fc.nat(200),
    reason: fc.constantFrom(...DROP_REASONS, 'no-connection' as const),
  },
  { requiredKeys: ['status', 'connections'] },
);
const pushTo = (userIds: readonly number[]): PushRequest => ({ to: { userIds }, type: 'x', dataText: '1' });

describe('a kept report', () => {
  it('restores the report, for any users and outcomes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(outcome, fc.integer({ min: 1, max: 9 })), { maxLength: 40 }), (runs) => {
        const outcomes = runs.flatMap(([one, times]) => new Array<typeof one>(times).fill(one));
        const results = outcomes.map((one, index): Delivery => ({ userId: index * 7, ...one }));
        const report = { results, counts: countsOf(results) };
        const userIds = results.map(({ userId }) => userId);
        // A repeated user changes nothing.
        expect(decodeReport(encodeReport(report), pushTo([...userIds, ...userIds]))).toEqual(report);
      }),
    );
  });

  it('is small: 10,000 users take a few bytes with one outcome, and 50 KB with alternating outcomes', () => {
    const results = (reasons: readonly Delivery[]): readonly Delivery[] =>
      Array.from({ length: 10_000 }, (_, userId) => ({
        ...(reasons[userId % reasons.length] as Delivery),
        userId,
      }));
    const written: Delivery = { userId: 0, status: 'written', connections: 1 };
    const absent: Delivery = { userId: 0, status: 'offline', connections: 0, reason: 'no-connection' };
    expect(encodeReport({ results: results([written]), counts: {} }).length).toBeLessThan(20);
    expect(encodeReport({ results: results([written, absent]), counts: {} }).length).toBeLessThan(50_000);
  });

  it('of a push to everybody has its counts', () => {
    const request: PushRequest = { to: { all: true }, type: 'x', dataText: '1' };
    for (const counts of [{}, { written: 3, dropped: 1 }])
      expect(decodeReport(encodeReport({ counts }), request)).toEqual({ counts });
  });

  it.each(['garbage', '9-1', '1-1x3', '1-1,1-1,1-1', '1-1', '{"written":1}', ''])(
    'of another push or form is rejected: %s',
    (text) => {
      expect(decodeReport(text, pushTo([1, 2]))).toBeUndefined();
      expect(
        decodeReport(text === '{"written":1}' ? '{"bad":1}' : text, { ...pushTo([]), to: { all: true } }),
      ).toBeUndefined();
    },
  );
});
