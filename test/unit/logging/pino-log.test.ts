import { describe, expect, it } from 'vitest';
import type { Log } from '../../../src/logging/log.ts';
import { createLog, type LogOptions } from '../../../src/logging/pino-log.ts';

function record(options: Partial<LogOptions> = {}): { readonly log: Log; readonly lines: string[] } {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  return { log: createLog({ level: 'info', pretty: false, destination, ...options }), lines };
}

const TOKEN = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ';

describe('the log', () => {
  it('[contract 9] is one JSON object per line, with level, time and event', () => {
    const { log, lines } = record();
    log.info({ event: 'connected', userId: 42, connectionId: 'c1', cause: 'client' }, 'user connected');
    expect(lines).toHaveLength(1);
    const line = JSON.parse(lines[0] ?? '');
    expect(line).toMatchObject({ level: 'info', event: 'connected', userId: 42, msg: 'user connected' });
    expect(new Date(line.time).toISOString()).toBe(line.time);
  });

  it('writes nothing below its level', () => {
    const { log, lines } = record({ level: 'warn' });
    log.info({ event: 'connected' }, 'x');
    log.debug({ event: 'connected' }, 'x');
    log.warn({ event: 'refused' }, 'y');
    expect(lines).toHaveLength(1);
  });

  it('[security] never shows a token, in any field or text', () => {
    for (const pretty of [false, true]) {
      const { log, lines } = record({ pretty });
      const headers = {
        authorization: `Bearer ${TOKEN}`,
        'sec-websocket-protocol': `lingxi.v1, bearer.${TOKEN}`,
      };
      log.warn(
        {
          event: 'refused',
          token: TOKEN,
          headers,
          url: `/ws?token=${TOKEN}&userId=1`,
          list: [TOKEN],
          jwtSecret: 's3cret',
        },
        `refused ${TOKEN}`,
      );
      log.error(
        { event: 'internal-error', err: new Error(`bad redis://user:hunter2@redis/0 and ${TOKEN}`) },
        'failed',
      );
      const text = lines.join('');
      expect(text).not.toContain('eyJ');
      expect(text).not.toContain('c2lnbmF0dXJl');
      expect(text).not.toContain('hunter2');
      expect(text).not.toContain('s3cret');
      expect(text).toContain('userId=1');
    }
  });

  it('[security] writes control characters as escapes, so that nobody can forge a line or move a cursor', () => {
    for (const pretty of [false, true]) {
      const { log, lines } = record({ pretty });
      const forged = 'x\n{"level":"info","event":"connected"}\u001b[2J\u009b31m\u0000\u202e\u2066';
      log.info({ event: 'refused', origin: forged }, forged);
      const text = lines.join('');
      expect(text.trimEnd().split('\n')).toHaveLength(1);
      expect(text.trimEnd()).toMatch(/^[^\u0000-\u001f\u007f-\u009f\u202e\u2066]*$/);
    }
  });

  it('escapes a control character once: parsing a line as JSON returns the text', () => {
    const { log, lines } = record();
    const text = '"a"\n\\n\u001b[2J\u0000\u007f\u009b\u2028\u202e\u2066';
    const err = new Error(text);
    log.info({ event: 'audit', reason: text, [text]: [text], err }, text);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      ...{ reason: text, [text]: [text], msg: text },
      err: { message: text, stack: err.stack },
    });
  });

  it('keeps name, code, stack and cause of an error', () => {
    const { log, lines } = record();
    const cause = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    log.error({ event: 'presence-unavailable', err: new TypeError('no Redis', { cause }) }, 'x');
    expect(JSON.parse(lines[0] ?? '').err).toMatchObject({
      type: 'TypeError',
      message: 'no Redis',
      stack: expect.stringContaining('TypeError: no Redis\n    at '),
      cause: { code: 'ECONNREFUSED' },
    });
  });

  it('calls no function of a field', () => {
    const { log, lines } = record();
    const toJSON = (): never => {
      throw new Error('called');
    };
    log.info({ event: 'audit', toJSON, deep: { toJSON, kept: 1 } }, 'x');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ event: 'audit', deep: { kept: 1 }, msg: 'x' });
  });

  it('writes the line of an error that cannot be read', () => {
    // An application that embeds the gateway may throw anything.
    const throwing = (name: string) =>
      Object.defineProperty(new Error('m'), name, {
        get() {
          throw new Error('no');
        },
      });
    const odd = (fields: object) => Object.assign(new Error('m'), fields);
    const errors = [
      ...['message', 'stack', 'name', 'code', 'cause'].map(throwing),
      ...[odd({ message: undefined }), odd({ stack: 7 }), odd({ name: 7n }), odd({ name: Symbol('s') })],
      new Proxy(new Error('m'), { getPrototypeOf: () => assertNever(), ownKeys: () => assertNever() }),
    ];
    for (const err of errors) {
      const { log, lines } = record();
      log.error({ event: 'internal-error', where: 'listener', err }, 'a bug');
      expect(JSON.parse(lines.join(''))).toMatchObject({ event: 'internal-error', where: 'listener' });
    }
  });

  it('cuts endless values', () => {
    const { log, lines } = record();
    const loop: Record<string, unknown> = {};
    loop['loop'] = loop;
    log.info(
      { event: 'audit', loop, long: 'x'.repeat(100_000), many: Array.from({ length: 10_000 }, () => 1) },
      'x',
    );
    expect((lines[0] ?? '').length).toBeLessThan(10_000);
  });
});

function assertNever(): never {
  throw new Error('nobody may look here');
}
