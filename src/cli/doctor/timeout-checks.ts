import { sleep } from '../../lib/clock.ts';
import { PROTOCOL_TYPES } from '../../protocol/frames.ts';
import type { Closed, SocketClient } from '../socket-client.ts';
import { type Check, expect } from './check.ts';
import { record, type ServerUnderTest, show, type User } from './server-under-test.ts';

/** The server detects a timeout at most this late (HB4, plus delays of the network and this process). */
const LATE_MS = 200;
/** Largest difference between a logout time and the last ping + timeout. */
const LOGOUT_TOLERANCE_MS = 250;
/** The check waits this much longer before it reports a hang. */
const PATIENCE_MS = 3000;
const STALLED =
  'if this machine or that of the server stood still meanwhile, run the doctor again; such a server logs stall-credited';

export const timeoutChecks: readonly Check[] = [
  {
    name: 'silence ends in logout',
    async run(server) {
      const seed = await server.connect('A', { protocol: 'seed', answersPings: false });
      const v1 = await server.connect('B', { answersPings: false });
      await server.welcomeOf(v1);
      const timeoutMs = server.heartbeatTimeoutMs;
      const lastPings = { A: lastPing(server, seed), B: lastPing(server, v1) };
      const silence = Promise.all([
        seed.closedWithin(timeoutMs + PATIENCE_MS),
        v1.closedWithin(timeoutMs + PATIENCE_MS),
        stillOnline(server, timeoutMs),
      ]);
      const [closedA, closedB] = await server.progress.during(
        'silent for the heartbeat timeout',
        timeoutMs,
        silence,
      );
      const lateA = lateness(closedA, lastPings.A.sentAt, timeoutMs);
      const lateB = lateness(closedB, lastPings.B.sentAt, timeoutMs);
      // A back end may push to a user who comes online. The gateway itself sends no frame to a silent client without `lingxi.v1`.
      const ownFrame = seed.unread.find(({ type }) => PROTOCOL_TYPES.has(type));
      expect(ownFrame === undefined, `the seed client also got ${show(ownFrame)}`);
      await expectGoodbye(v1);
      const loggedOut = await Promise.all(
        (['A', 'B'] as const).map((user) => expectLoggedOut(server, user, { ...lastPings[user], timeoutMs })),
      );
      const seconds = [lateA, lateB].map((late) => ((timeoutMs + late) / 1000).toFixed(3));
      return `closed 4100 ${seconds[0]} s (seed client) and ${seconds[1]} s (lingxi.v1) after the last ping; ${loggedOut.join(', ')}`;
    },
  },
];

/** When a ping was sent: its monotonic time, and the wall time just before and just after. */
interface LastPing {
  readonly sentAt: number;
  readonly after: number;
  readonly before: number;
}

/** A busy machine can stop this process at the sending, so there are two wall times. */
function lastPing({ clock }: ServerUnderTest, client: SocketClient): LastPing {
  const after = clock.now();
  const sentAt = client.ping(after);
  return { sentAt, after, before: clock.now() };
}

/** Shortly before the timeout, no user may be logged out yet. */
async function stillOnline(server: ServerUnderTest, timeoutMs: number): Promise<void> {
  await sleep(server.clock, timeoutMs * 0.9);
  for (const user of ['A', 'B'] as const) {
    const detail = await server.detail(user);
    expect(detail.body['status'] === 'online', `before the timeout ${user} is ${detail.seen}`);
  }
}

/** By how much the close came later than the timeout, in ms. Throws a {@link Mismatch} if that is too early or too late. */
export function lateness(closed: Closed | undefined, lastPingAt: number, timeoutMs: number): number {
  expect(closed !== undefined, `not closed ${timeoutMs + PATIENCE_MS} ms after the last ping`);
  const late = closed.at - lastPingAt - timeoutMs;
  const seen = `closed ${closed.code} ${((timeoutMs + late) / 1000).toFixed(3)} s after the last ping`;
  expect(closed.code === 4100, seen);
  // One millisecond for the rounding of two clocks.
  expect(late >= -1, seen);
  expect(late <= LATE_MS, `${seen}, at most ${(timeoutMs + LATE_MS) / 1000} s are right: ${STALLED}`);
  return late;
}

async function expectGoodbye(client: SocketClient): Promise<void> {
  const goodbye = await client.next(({ type }) => type === 'goodbye', 0);
  expect(record(goodbye?.data)['code'] === 4100, `no goodbye before the close: ${show(goodbye)}`);
}

async function expectLoggedOut(
  server: ServerUnderTest,
  user: User,
  ping: LastPing & { readonly timeoutMs: number },
): Promise<string> {
  const detail = await server.untilOffline(user);
  if (!server.keepsRecords) return `${user} offline, no record kept`;
  const proof = Number(detail.body['logoutTime']) - ping.timeoutMs;
  const off = proof > ping.before ? proof - ping.before : Math.min(0, proof - ping.after);
  expect(Math.abs(off) <= LOGOUT_TOLERANCE_MS, `${user}: logoutTime is off by ${off} ms: ${detail.seen}`);
  return `${user} offline, logoutTime ${off >= 0 ? '+' : ''}${off} ms`;
}
