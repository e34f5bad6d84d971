import type { SocketClient } from '../socket-client.ts';
import { type Check, expect } from './check.ts';
import { type ServerUnderTest, SOON_MS } from './server-under-test.ts';

/** Under the policy `replace` the older connection must be closed within this time (PR4). */
const REPLACED_WITHIN_MS = 1000;

export const sessionChecks: readonly Check[] = [
  {
    name: 'a second connection of one user',
    async run(server) {
      const first = await server.connect('A');
      await server.welcomeOf(first);
      const second = await server.tryConnect('A');
      if (!second.ok) {
        const { status, code } = second.error;
        expect(status === 409 && code === 'session-exists', `refused ${status} ${code}`);
        await server.expectAlive(first);
        await first.close();
        return 'policy reject: 409 session-exists, the first stays';
      }
      await server.welcomeOf(second.value);
      const closed = await first.closedWithin(REPLACED_WITHIN_MS);
      const seen =
        closed === undefined ? await bothLive(server, first) : 'policy replace: the first closed 4001';
      if (closed !== undefined) expect(closed.code === 4001, `the first closed ${closed.code}`);
      await server.expectAlive(second.value);
      const detail = await server.detail('A');
      expect(detail.body['status'] === 'online', `afterwards: ${detail.seen}`);
      await Promise.all([first.close(), second.value.close()]);
      return `${seen}, the second lives, online`;
    },
  },
  {
    name: 'reconnect within the timeout keeps the period',
    async run(server) {
      const before = await server.connect('A');
      const old = await server.welcomeOf(before);
      await before.close();
      const lingering = await server.detail('A');
      expect(lingering.body['status'] === 'online', `without a socket: ${lingering.seen}`);
      const after = await server.connect('A');
      const now = await server.welcomeOf(after);
      expect(now.resumed && now.period === old.period, `period ${old.period} became ${now.shown}`);
      await after.close();
      return `resumed, period ${now.period}`;
    },
  },
  {
    name: 'a logout message ends the period',
    async run(server) {
      const client = await server.connect('A');
      const old = await server.welcomeOf(client);
      client.send('{"type":"logout"}');
      const closed = await client.closedWithin(SOON_MS);
      expect(closed?.code === 4000, closed === undefined ? 'the socket stays open' : `closed ${closed.code}`);
      await server.untilOffline('A');
      const again = await server.connect('A');
      const now = await server.welcomeOf(again);
      expect(
        !now.resumed && Number(now.period) > Number(old.period),
        `period ${old.period}, then ${now.shown}`,
      );
      await again.close();
      await server.logout('A');
      return 'closed 4000, offline, then a newer period';
    },
  },
];

async function bothLive(server: ServerUnderTest, first: SocketClient): Promise<string> {
  await server.expectAlive(first);
  return 'policy multi: both accepted';
}
