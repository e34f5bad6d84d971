import { describe, expect, it } from 'vitest';
import {
  ABSENT,
  type AdmittedSocket,
  addSocket,
  adopt,
  type HeldSocket,
  type HoldState,
  type InDoubt,
  type Missing,
  NO_PROOF,
} from '../../../src/presence/node/hold-state.ts';

const socket: AdmittedSocket = {
  ...{ kind: 'admitted', connectionId: 'a', epoch: 1, rev: 1, groups: '' },
  admitted: NO_PROOF,
};
const inDoubt: InDoubt = { kind: 'in-doubt', lostRev: 0, linger: { proof: NO_PROOF, rev: 0 } };
const { kind: _kind, sockets: _sockets, ...period } = adopt(ABSENT, { period: 1, loginTime: 1 }, 1);

/** The compiler is the test. If a line below compiles, `npm run types` reports that its expected error is missing. */
describe('states that cannot be written', () => {
  it('[PR2] no part of a period without a held period', () => {
    // @ts-expect-error an absent user has no period
    const absent: HoldState = { ...ABSENT, period: 1 };
    // @ts-expect-error a hold in doubt has no sockets
    const withSockets: HoldState = { ...inDoubt, sockets: [] };
    // @ts-expect-error a hold in doubt has no proof by HTTP
    const withHttp: HoldState = { ...inDoubt, http: { proof: NO_PROOF, rev: 0 } };
    // @ts-expect-error a socket belongs to a period
    const socketOfNobody = (): HoldState => addSocket(ABSENT, socket);
    // @ts-expect-error a socket belongs to a period that the store holds for this node
    const socketOfMissing = (state: Missing): HoldState => addSocket(state, socket);
    expect([absent, withSockets, withHttp, socketOfNobody, socketOfMissing]).toHaveLength(5);
  });

  it('[PR9] missing means a time; ending means no socket', () => {
    // @ts-expect-error an ending hold has no sockets
    const ending: HoldState = { ...period, kind: 'ending', sockets: [socket] };
    // @ts-expect-error a hold is missing since some time
    const timeless: HoldState = { ...period, kind: 'missing', sockets: [socket] };
    // @ts-expect-error a held user is not missing
    const held: HoldState = { ...period, kind: 'held', sockets: [], since: 1 };
    expect([ending, timeless, held]).toHaveLength(3);
  });

  it('a socket is admitted or open, never both', () => {
    // @ts-expect-error an admitted socket has no connection
    const both: HeldSocket = { ...socket, connection: undefined };
    // @ts-expect-error an open socket has a connection
    const neither: HeldSocket = { ...socket, kind: 'open' };
    expect([both, neither]).toHaveLength(2);
  });
});
