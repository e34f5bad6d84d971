import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  encodeFrame,
  encodePong,
  PROTOCOL_TYPES,
  parseClientFrame,
  refusalFrame,
} from '../../../src/protocol/frames.ts';

const V1 = 'lingxi.v1';

describe('frames from clients', () => {
  it.each([
    '',
    'null',
    '1',
    '"x"',
    '[]',
    '{}',
    '{"type":1}',
    '{"type":null}',
    '{"Type":"x"}',
    '[{"type":"x"}]',
    '{type:"x"}',
  ])('are malformed without a string type: %s', (text) => {
    expect(parseClientFrame(text, 'seed')).toBeUndefined();
    expect(parseClientFrame(text, V1)).toBeUndefined();
  });

  it.each([
    ['{"type":"ping","timestamp":1e999}', { kind: 'ping', timestamp: '1e999' }],
    ['{"type":"ping"}', { kind: 'ping', timestamp: '' }],
    ['{"type":"logout","data":7}', { kind: 'logout' }],
    ['{"type":"state","data":{"value":"background"}}', { kind: 'state', value: 'background' }],
    ['{"type":"token","data":{"token":"t"}}', { kind: 'token', token: 't' }],
    ['{"type":"ack","id":"1.2"}', { kind: 'ack', id: '1.2' }],
  ])('lingxi.v1 knows %s', (text, frame) => {
    expect(parseClientFrame(text, V1)).toEqual(frame);
  });

  it.each([
    ['state', '{"type":"state"}'],
    ['state', '{"type":"state","data":null}'],
    ['state', '{"type":"state","data":"active"}'],
    ['state', '{"type":"state","data":{"value":"asleep"}}'],
    ['token', '{"type":"token","data":{"token":7}}'],
    ['token', '{"type":"token","data":["t"]}'],
    ['ack', '{"type":"ack"}'],
    ['ack', '{"type":"ack","id":12}'],
  ])('a %s with the wrong content is unusable: %s', (type, text) => {
    expect(parseClientFrame(text, V1)).toEqual({ kind: 'unusable', type });
  });

  it.each([
    '{"type":"chat"}',
    '{"type":"","data":[1],"extra":true}',
    '{"type":"welcome"}',
    '{"type":"constructor"}',
  ])('%s belongs to the application, as it is', (text) => {
    for (const protocol of ['seed', V1] as const)
      expect(parseClientFrame(text, protocol)).toEqual({ kind: 'application', message: JSON.parse(text) });
  });

  it.each(['logout', 'state', 'token', 'ack'])('a client without lingxi.v1 may use the type %s', (type) => {
    expect(parseClientFrame(`{"type":"${type}"}`, 'seed')).toEqual({
      kind: 'application',
      message: { type },
    });
  });

  it('never throw for any input', () => {
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      fc.jsonValue().map((data) => `{"type":"state","data":${JSON.stringify(data)}}`),
      fc.jsonValue().map((data) => `{"type":"token","data":${JSON.stringify(data)}}`),
      fc.jsonValue().map((id) => `{"type":"ack","id":${JSON.stringify(id)}}`),
    );
    fc.assert(
      fc.property(text, (candidate) => {
        expect(() => parseClientFrame(candidate, V1)).not.toThrow();
      }),
      { numRuns: 1000 },
    );
  });
});

describe('frames to clients', () => {
  const to = { userId: 2, timestamp: 1_795_513_037 };

  it('are envelopes whose data is typed', () => {
    expect(encodeFrame({ type: 'token', data: { expiresAt: null } }, to)).toBe(
      '{"type":"token","userId":2,"timestamp":1795513037,"data":{"expiresAt":null}}',
    );
    expect(encodeFrame(refusalFrame('state', 'invalid-body'), to)).toBe(
      '{"type":"error","userId":2,"timestamp":1795513037,"data":{"about":"state","code":"invalid-body","message":"The body does not have the expected shape."}}',
    );
  });

  it('a pong carries the timestamp of its ping as the client wrote it', () => {
    expect(encodePong('12345678901234567890', to)).toBe(
      '{"type":"pong","userId":2,"timestamp":1795513037,"data":{"timestamp":12345678901234567890}}',
    );
    expect(encodePong('', to)).toBe('{"type":"pong","userId":2,"timestamp":1795513037,"data":{}}');
  });

  it('have types that nobody may push', () => {
    expect([...PROTOCOL_TYPES]).toEqual([
      'ack',
      'error',
      'goodbye',
      'logout',
      'ping',
      'pong',
      'state',
      'token',
      'welcome',
    ]);
  });
});
