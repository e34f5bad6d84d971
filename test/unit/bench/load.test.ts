import { describe, expect, it } from 'vitest';
import { hardLimitIn } from '../../../bench/descriptors.ts';
import { doneRow, limitOf } from '../../../bench/limit.ts';
import { readAnswer } from '../../../bench/load/http-answer.ts';
import { stamp, stampedRequest } from '../../../bench/load/stamped-request.ts';
import { bounded, linesOf, plain } from '../../../bench/report/rows.ts';
import { floorRows } from '../../../bench/scenarios/b4-to-users.ts';
import { intendedIn, walkFrames } from '../../../src/cli/bench/server-frames.ts';
import { encodeFrame } from '../../support/raw-socket.ts';

function framesIn(bytes: Buffer): { readonly texts: readonly string[]; readonly end: number } {
  const texts: string[] = [];
  const rest = walkFrames(bytes, (opcode, from, { start, end }) => {
    texts.push(`${opcode}:${from.subarray(start, end).toString()}`);
  });
  return { texts, end: rest };
}

describe('frames of the server', () => {
  const frame = (payload: string): Buffer => encodeFrame({ opcode: 1, payload, masked: false });

  it('are read from one piece, in each length', () => {
    const payloads = ['', 'a'.repeat(125), 'b'.repeat(126), 'c'.repeat(65_536)];
    const bytes = Buffer.concat(payloads.map(frame));
    expect(framesIn(bytes)).toEqual({ texts: payloads.map((text) => `1:${text}`), end: bytes.length });
  });

  it('a piece that ends within a frame is read up to the frame before', () => {
    const first = frame('whole');
    const bytes = Buffer.concat([first, frame('d'.repeat(200))]);
    for (let cut = first.length; cut < bytes.length; cut += 1)
      expect(framesIn(bytes.subarray(0, cut))).toEqual({ texts: ['1:whole'], end: first.length });
  });

  it('a message contains its due time, or no time', () => {
    const intended = (text: string) => intendedIn(Buffer.from(text), { start: 0, end: text.length });
    expect(intended('{"data":{"at":1764460000123456,"text":"x"}}')).toBe(1_764_460_000_123_456);
    expect(intended('{"data":{"at":0.00000000000000}}')).toBeUndefined();
    expect(intended('{"data":{}}')).toBeUndefined();
    const next = Buffer.from('{}{"at":7}');
    expect(intendedIn(next, { start: 0, end: 2 })).toBeUndefined();
  });
});

describe('requests', () => {
  const options = { apiKey: 'key', first: 10, users: 5, random: () => 0.5 };

  it.each([1, 3])(
    'a request of %d is JSON of its stated length, before and after its time is written',
    (batch) => {
      const request = stampedRequest({ ...options, batch });
      const parsed = (): unknown => {
        const [head = '', body = ''] = request.bytes.toString().split('\r\n\r\n');
        expect(head).toContain(`\r\nContent-Length: ${body.length}`);
        return JSON.parse(body);
      };
      const message = (at: number) => ({ to: { userId: 12 }, type: 'note', data: { at, text: 'hello' } });
      const expected = (at: number) =>
        batch === 1 ? message(at) : Array.from({ length: batch }, () => message(at));
      expect(parsed()).toEqual(expected(0));
      stamp(request, 1_764_460_000_123_456);
      expect(parsed()).toEqual(expected(1_764_460_000_123_456));
    },
  );

  it('an answer is complete when its length, or its last chunk, has arrived', () => {
    const whole = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello');
    for (let cut = 0; cut < whole.length; cut += 1)
      expect(readAnswer(whole.subarray(0, cut))).toBeUndefined();
    expect(readAnswer(whole)).toMatchObject({ status: 200 });
    const chunked = 'HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n';
    expect(readAnswer(Buffer.from(chunked))).toBeUndefined();
    expect(readAnswer(Buffer.from(`${chunked}0\r\n\r\n`))).toMatchObject({ status: 503 });
  });

  it('an answer without a length is an error', () => {
    expect(readAnswer(Buffer.from('HTTP/1.1 200 OK\r\n\r\n'))).toBeInstanceOf(Error);
  });
});

describe('descriptors', () => {
  it.each([
    ['Max open files            1024                 20000                files', 20_000],
    ['Max open files            1024                 unlimited            files', Number.POSITIVE_INFINITY],
    ['Max processes             1                    2                    processes', undefined],
  ])('%s', (limits, limit) => {
    expect(hardLimitIn(`Limit  Soft Limit  Hard Limit  Units\n${limits}\n`)).toBe(limit);
  });
});

describe('the table', () => {
  it('says whether a goal is met; a figure that is not a number misses it', () => {
    const rows = [
      bounded('B4: 99 %', 4.96, { atMost: 5, unit: ' ms', digits: 1 }),
      bounded('B13', 7_000, { atLeast: 15_000, unit: '/s' }),
      bounded('B4', Number.NaN, { atMost: 5, unit: ' ms' }),
      plain('B6', 3),
    ];
    expect(linesOf(rows, 'small: ')).toEqual([
      'small: B4: 99 %   5.0 ms   goal <= 5 ms: met',
      'small: B13        7000/s   goal >= 15000/s: MISSED',
      'small: B4         NaN ms   goal <= 5 ms: MISSED',
      'small: B6         3',
    ]);
  });

  it.each([
    [100, 50, /^the server \(server 100 % of a core, load 50 %\)$/],
    [50, 95, /^the load .*: the server could do more$/],
    [95, 99, /^the load /],
    [40, 30, /^neither /],
  ])('server %d %%, load %d %%: who limited it', (server, load, limit) => {
    expect(limitOf('fast', { ms: 100, cpuMs: server }, { ms: 100, cpuMs: load })).toMatch(limit);
  });

  it('a delivery that seems to cost nothing is not a figure, and meets no goal', () => {
    for (const micros of [-8, 0, Number.NaN])
      expect(floorRows('B5', micros, { floor: 7, ratio: 1.25 })).toMatchObject([{ met: false }]);
    expect(floorRows('B5', 8.4, { floor: 7, ratio: 1.25 })).toMatchObject([
      {},
      { measured: '1.20', met: true },
    ]);
  });

  it('less than 99 % of the requested number is a miss, and so is nothing at all', () => {
    expect([990, 989, 0].map((done) => doneRow('B9', 1000, done).met)).toEqual([true, false, false]);
    expect(doneRow('B9', 0, 0).met).toBe(false);
  });
});
