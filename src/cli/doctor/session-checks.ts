import type { SocketClient } from '../socket-client.ts';
import { type Check, expect } from './check.ts';
import { type Patient, SOON_MS } from './patient.ts';

/** Under the policy `replace` the older connection must be closed within this time (PR4). */
const REPLACED_WITHIN_MS = 1000;

export const sessionChecks: readonly Check[] = [
  {
    name: 'a second connection of one user',
    async run(patient) {
      const first = await patient.connect('A');
      await patient.welcomeOf(first);
      const second = await patient.tryConnect('A');
      if (!second.ok) {
        const { status, code } = second.error;
        expect(status === 409 && code === 'session-exists', `refused ${status} ${code}`);
        await patient.expectAlive(first);
        await first.close();
        return 'policy reject: 409 session-exists, the first stays';
      }
      await patient.welcomeOf(second.value);
      const closed = await first.closedWithin(REPLACED_WITHIN_MS);
      const seen =
        closed === undefined ? await bothLive(patient, first) : 'policy replace: the first closed 4001';
      if (closed !== undefined) expect(closed.code === 4001, `the first closed ${closed.code}`);
      await patient.expectAlive(second.value);
      const detail = await patient.detail('A');
      expect(detail.body['status'] === 'online', `afterwards: ${detail.seen}`);
      await Promise.all([first.close(), second.value.close()]);
      return `${seen}, the second lives, online`;
    },
  },
  {
    name: 'reconnect within the timeout keeps the period',
    async run(patient) {
      const before = await patient.connect('A');
      const old = await patient.welcomeOf(before);
      await before.close();
      const lingering = await patient.detail('A');
      expect(lingering.body['status'] === 'online', `without a socket: ${lingering.seen}`);
      const after = await patient.connect('A');
      const now = await patient.welcomeOf(after);
      expect(now.resumed && now.period === old.period, `period ${old.period} became ${now.shown}`);
      await after.close();
      return `resumed, period ${now.period}`;
    },
  },
  {
    name: 'a logout message ends the period',
    async run(patient) {
      const client = await patient.connect('A');
      const old = await patient.welcomeOf(client);
      client.send('{"type":"logout"}');
      const closed = await client.closedWithin(SOON_MS);
      expect(closed?.code === 4000, closed === undefined ? 'the socket stays open' : `closed ${closed.code}`);
      await patient.untilOffline('A');
      const again = await patient.connect('A');
      const now = await patient.welcomeOf(again);
      expect(
        !now.resumed && Number(now.period) > Number(old.period),
        `period ${old.period}, then ${now.shown}`,
      );
      await again.close();
      await patient.logout('A');
      return 'closed 4000, offline, then a newer period';
    },
  },
];

async function bothLive(patient: Patient, first: SocketClient): Promise<string> {
  await patient.expectAlive(first);
  return 'policy multi: both accepted';
}
