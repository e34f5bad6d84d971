import { describe, expect, it } from 'vitest';
import { InBandRefusals, MAX_REFUSED_SOCKETS } from '../../../src/gateway/in-band-refusals.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { ERRORS, type ErrorCode } from '../../../src/protocol/error-codes.ts';
import { FakeSocket } from '../../support/fake-socket.ts';
import { handshake, outcome, type Room, room } from './admission-room.ts';

const BROWSER = { origin: 'https://game.example', 'sec-websocket-protocol': 'lingxi.v1' };

async function refusalOf(state: Room, headers: Record<string, string | undefined> = {}, url = '/ws') {
  const decision = await state.admission.decide(handshake({ ...BROWSER, ...headers }, url));
  if (decision.kind === 'accept') throw new Error('it was accepted');
  return decision;
}

describe('refusals in band', () => {
  it('[CR4] need lingxi.v1 and an Origin; an invalid handshake or origin still gets its status', async () => {
    const authorization = 'Bearer nonsense';
    const inBand = async (headers: Record<string, string | undefined>) =>
      (await refusalOf(room(), { authorization, ...headers })).inBand?.code;
    expect(await inBand({})).toBe(4003);
    expect(await inBand({ origin: undefined })).toBeUndefined();
    expect(await inBand({ 'sec-websocket-protocol': undefined })).toBeUndefined();
    expect(await inBand({ 'sec-websocket-protocol': 'other' })).toBeUndefined();
    expect(await inBand({ 'sec-websocket-protocol': 'lingxi.v1,,x' })).toBeUndefined();
    expect(await inBand({ 'sec-websocket-key': 'x' })).toBeUndefined();
    expect(await inBand({ 'sec-websocket-version': '8' })).toBeUndefined();
    expect(await inBand({ upgrade: undefined })).toBeUndefined();
    expect(await inBand({ origin: 'https://evil.example' })).toBeUndefined();
  });

  it.each([
    ['unknown-user', 4004],
    ['blocked', 4005],
    ['session-exists', 4006],
    ['session-flapping', 4007],
    ['settlement-refused', 4008],
    ['settlement-unavailable', 4110],
    ['presence-unavailable', 4110],
    ['rate-limited', 4110],
  ] as const)('[CR4] %s has the code %i', async (answer, code) => {
    const state = room();
    state.answer = answer;
    expect((await refusalOf(state)).inBand).toEqual({ code, userId: 7 });
  });

  it('[CR4] every refusal with Retry-After has the code 4110', async () => {
    const retried: ErrorCode[] = ['overloaded', 'draining', 'credentials-unavailable'];
    expect(retried.map((code) => ERRORS[code].status)).toEqual([503, 503, 503]);
    const full = room({ maxConnections: 0 });
    const draining = room();
    draining.admission.setDraining(true);
    const keyless = await refusalOf(room(), { authorization: 'Bearer keyless' });
    const refusals = [await refusalOf(full), await refusalOf(draining), keyless];
    expect(refusals.map(({ code, inBand }) => [code, inBand?.code])).toEqual(
      retried.map((code) => [code, 4110]),
    );
  });

  it('[CR4] under a flood from one address the answer is the cheap status', async () => {
    const state = room();
    const inBand: boolean[] = [];
    let last: Awaited<ReturnType<typeof refusalOf>> | undefined;
    for (let count = 0; count < 2001; count += 1) {
      last = await refusalOf(state, { authorization: 'Bearer expired' });
      inBand.push(last.inBand !== undefined);
    }
    expect(inBand.lastIndexOf(true)).toBe(199);
    expect([last?.status, last?.inBand]).toEqual([429, undefined]);
  });

  it('[CR4] say goodbye, close, and cut a client that does not answer after 2 s', async () => {
    const clock = new FakeClock();
    const refusals = new InBandRefusals(clock);
    const refusal = await refusalOf(room({ maxConnections: 0 }));
    const socket = new FakeSocket();
    const owner = refusals.take(refusal);
    socket.attach(owner?.opened(socket) ?? { message() {}, control() {}, drained() {}, closed() {} });
    expect(socket.envelopes).toMatchObject([
      { type: 'goodbye', userId: 0, data: { code: 4110, reason: 'overloaded', reconnectAfterMs: 3000 } },
    ]);
    expect(socket.closes).toEqual([{ code: 4110, reason: 'overloaded' }]);
    clock.advance(1999);
    expect(socket.terminated).toBe(false);
    clock.advance(1);
    expect(socket.terminated).toBe(true);
    owner?.released();
    expect(refusals.open).toBe(0);
  });

  it('[CR4] are bounded in number, and one that ends makes room for the next', async () => {
    const refusals = new InBandRefusals(new FakeClock());
    const refusal = await refusalOf(room(), { authorization: 'Bearer nonsense' });
    const owners = Array.from({ length: MAX_REFUSED_SOCKETS }, () => refusals.take(refusal));
    expect(refusals.take(refusal)).toBeUndefined();
    owners[0]?.released();
    expect(refusals.take(refusal)).toBeDefined();
  });
});

describe('tickets in the handshake', () => {
  const anonymous = { authorization: undefined };

  it('[CR2] a ticket comes after every token, and the identity of its token counts', async () => {
    const state = room();
    const decision = await state.admission.decide(handshake(anonymous, '/ws?ticket=good-ticket'));
    expect(decision).toMatchObject({ kind: 'accept', registration: { userId: 7, tokenIssuedAt: 122_000 } });
    await state.admission.decide(handshake({}, '/ws?ticket=other'));
    await state.admission.decide(handshake(anonymous, '/ws?token=nonsense&ticket=other'));
    expect([...state.taken]).toEqual(['good-ticket']);
  });

  it('[CR2] a ticket that cannot be looked up gets 503, a used one 401, which does not count as a forgery', async () => {
    const state = room();
    const dial = async (ticket: string) => {
      const { status, code } = await refusalOf(
        state,
        { ...anonymous, origin: undefined },
        `/ws?ticket=${ticket}`,
      );
      return `${status} ${code}`;
    };
    expect(await dial('unanswered')).toBe('503 presence-unavailable');
    expect(state.failed.size).toBe(0);
    expect(await dial('used')).toBe('401 invalid-token');
    expect(state.failed.size).toBe(0);
  });

  it('[CR2] of two upgrades that find one ticket, one is accepted', async () => {
    const state = room();
    const decisions = await Promise.all(
      [1, 2].map(() => state.admission.decide(handshake(anonymous, '/ws?ticket=good-ticket'))),
    );
    expect(decisions.map(outcome)).toEqual(['accept', '401 invalid-token']);
  });

  it.each([
    'settlement-unavailable',
    'session-exists',
    'session-flapping',
    'presence-unavailable',
    'rate-limited',
  ] as const)('[DR4] a login that is refused as %s uses up no ticket', async (answer) => {
    const state = room();
    state.answer = answer;
    const { code } = await refusalOf(state, anonymous, '/ws?ticket=good-ticket');
    expect([code, state.taken.size]).toEqual([answer, 0]);
    state.answer = 'accept';
    const decision = await state.admission.decide(handshake(anonymous, '/ws?ticket=good-ticket'));
    expect(decision.kind).toBe('accept');
  });

  it('[DR4] nor does one that ends because the drain began, or by an error', async () => {
    const state = room();
    state.beforeDialAnswer = () => state.admission.setDraining(true);
    const { code } = await refusalOf(state, anonymous, '/ws?ticket=good-ticket');
    expect([code, state.taken.size]).toEqual(['draining', 0]);
    state.admission.setDraining(false);
    state.beforeDialAnswer = () => {
      throw new Error('a fault of ours');
    };
    await expect(state.admission.decide(handshake(anonymous, '/ws?ticket=good-ticket'))).rejects.toThrow();
    expect(state.taken.size).toBe(0);
  });

  it('[DR4] a refused ticket proves life and stays valid', async () => {
    const state = room({ maxConnections: 0 });
    await refusalOf(state, anonymous, '/ws?ticket=good-ticket');
    await Promise.resolve();
    await Promise.resolve();
    expect([state.proven, state.taken.size]).toEqual([[7], 0]);
  });
});
