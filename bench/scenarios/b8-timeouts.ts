import { requireDescriptors } from '../descriptors.ts';
import { bounded, type Outcome, plain, type Subject, shown } from '../report/rows.ts';
import { withGateway, withLoad, withStores } from '../servers/processes.ts';
import type { Settings } from '../settings.ts';
import { feedEnd, whenAllEnded } from './ends.ts';

const AT_ONCE = 500;
const OFFLINE_MS = 1_000;
const SETTLED_MS = 2_000;

/** B8: how soon users who time out at once are offline and settled. The breaker is off. */
export function measureTimeouts(settings: Settings): Promise<Outcome> {
  const { runtime } = settings;
  const users = settings.users(10_000);
  requireDescriptors(users);
  const env = { LINGXI_MASS_TIMEOUT_SHARE: '0', ...settings.timeoutEnv };
  return withStores((stores, { postgres }) =>
    withGateway({ runtime, stores, env }, (gateway) =>
      withLoad(async (load) => {
        const open = { port: gateway.port(), secret: gateway.jwtSecret, first: 1, count: users, pings: true };
        await load.call('open', { ...open, atOnce: AT_ONCE });
        await load.call('beat', { perSecond: users, seconds: 2 });
        const cursor = await feedEnd(gateway);
        await load.call('pingOnce');
        const ends = await whenAllEnded(gateway, postgres, { cursor, users });
        const offline = ends.detection.max;
        const settled = ends.lastSettled - ends.firstDeadline;
        const subject: Subject = `lingxi-${runtime}-redis`;
        return {
          cells: [
            { line: 'B8 all at once: the last is offline', subject, value: offline, unit: 'ms' },
            { line: 'B8 all at once: the last is settled', subject, value: settled, unit: 'ms' },
          ],
          curves: [
            {
              id: 'settlement-at-once',
              title: `Settlement after the deadline, ${users} at once`,
              summary: ends.settlement,
            },
          ],
          rows: [
            {
              what: 'B8 users who timed out',
              measured: ends.users,
              goal: `${users}`,
              met: ends.users === users,
            },
            plain(
              'B8 from the first of their deadlines to the last',
              `${ends.lastDeadline - ends.firstDeadline} ms`,
            ),
            plain('B8 offline in Redis after the deadline', shown(ends.detection)),
            bounded('B8 offline in Redis after the deadline, all', offline, {
              atMost: OFFLINE_MS,
              unit: ' ms',
            }),
            { what: 'B8 rows settled', measured: ends.rows, goal: `${users}`, met: ends.rows === users },
            bounded('B8 all settled after the first deadline', settled, { atMost: SETTLED_MS, unit: ' ms' }),
          ],
        };
      }),
    ),
  );
}
