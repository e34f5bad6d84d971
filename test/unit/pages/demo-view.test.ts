import { expect, it } from 'vitest';
import { knownOf } from '../../../pages/demo/view.ts';

const REFUSAL = { kind: 'refused', sentence: 'No.' } as const;

it('a user that the server does not know is offline on the page of the demo', () => {
  expect(knownOf({ kind: 'ok', body: { status: 'online', connections: 1 } })).toEqual({
    status: 'online',
    connections: 1,
  });
  expect(knownOf({ ...REFUSAL, status: 404, code: 'unknown-user' })).toEqual({
    status: 'offline',
    connections: 0,
  });
});

it('an answer that tells nothing of the user leaves the page as it is', () => {
  expect(knownOf({ ...REFUSAL, status: 503, code: 'settlement-unavailable' })).toBeUndefined();
  expect(knownOf({ kind: 'silent' })).toBeUndefined();
});
