import { sleep } from '../../lib/clock.ts';
import { PROTOCOL_TYPES } from '../../protocol/frames.ts';
import type { Closed, SocketClient } from '../socket-client.ts';
import { type Check, expect } from './check.ts';
import { record, type ServerUnderTest, show, type User } from './server-under-test.ts';

/** The server finds a timeout at most this late (HB4, plus delays of the network and this process). */
const LATE_MS = 200;
/** How far a logout time may be from the last ping + timeout. */
const LOGOUT_TOLERANCE_MS = 250;
/** The check waits this much longer before it reports a hang. */
const PATIENCE_MS = 3000;

export const timeoutChecks: readonly Check[] = [
  {
    name: 'silence ends in logout',
    async run(server) {
      const seed = await server.connect('A', { protocol: 'seed', answersPings: false });
      const v1 = await server.connect('B', { answersPings: false });
      await server.welcomeOf(v1);
      const timeoutMs = server.heartbeatTimeoutMs;
      const lastPings = {
        A: { sentAt: seed.ping(server.clock.now()), wall: server.clock.now() },
        B: { sentAt: v1.ping(server.clock.now()), wall: server.clock.now() },
      };
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
      // A back end may push to a user who comes online. The gateway itself sends no frame to a seed client that is silent.
      const ownFrame = seed.unread.find(({ type }) => PROTOCOL_TYPES.has(type));
      expect(ownFrame === undefined, `the seed client also got ${show(ownFrame)}`);
      await expectGoodbye(v1);
      const loggedOut = await Promise.all(
        (['A', 'B'] as const).map((user) => expectLoggedOut(server, user, lastPings[user].wall + timeoutMs)),
      );
      const seconds = [lateA, lateB].map((late) => ((timeoutMs + late) / 1000).toFixed(3));
      return `closed 4100 ${seconds[0]} s (seed client) and ${seconds[1]} s (lingxi.v1) after the last ping; ${loggedOut.join(', ')}`;
    },
  },
];

/** Shortly before the end no user may be logged out yet. */
async function stillOnline(server: ServerUnderTest, timeoutMs: number): Promise<void> {
  await sleep(server.clock, timeoutMs * 0.9);
  for (const user of ['A', 'B'] as const) {
    const detail = await server.detail(user);
    expect(detail.body['status'] === 'online', `before the timeout ${user} is ${detail.seen}`);
  }
}

function lateness(closed: Closed | undefined, lastPingAt: number, timeoutMs: number): number {
  expect(closed !== undefined, `not closed ${timeoutMs + PATIENCE_MS} ms after the last ping`);
  const late = closed.at - lastPingAt - timeoutMs;
  const seen = `closed ${closed.code} ${((timeoutMs + late) / 1000).toFixed(3)} s after the last ping`;
  expect(closed.code === 4100, seen);
  // One millisecond for the rounding of two clocks.
  expect(late >= -1 && late <= LATE_MS, seen);
  return late;
}

async function expectGoodbye(client: SocketClient): Promise<void> {
  const goodbye = await client.next(({ type }) => type === 'goodbye', 0);
  expect(record(goodbye?.data)['code'] === 4100, `no goodbye before the close: ${show(goodbye)}`);
}

async function expectLoggedOut(server: ServerUnderTest, user: User, expected: number): Promise<string> {
  const detail = await server.untilOffline(user);
  if (!server.keepsRecords) return `${user} offline, no record kept`;
  const off = Number(detail.body['logoutTime']) - expected;
  expect(Math.abs(off) <= LOGOUT_TOLERANCE_MS, `${user}: logoutTime is off by ${off} ms: ${detail.seen}`);
  return `${user} offline, logoutTime ${off >= 0 ? '+' : ''}${off} ms`;
}
