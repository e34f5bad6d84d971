import { requireDescriptors } from '../descriptors.ts';
import { bounded, type Outcome, plain, type Subject, shown } from '../report/rows.ts';
import { withGateway, withLoad, withStores } from '../servers/processes.ts';
import type { Settings } from '../settings.ts';
import { feedEnd, whenAllEnded } from './ends.ts';

const AT_ONCE = 500;
const LATE_MS = 100;

/** B7: how long after the deadline a silent user is offline. Each user becomes silent at a random time. */
export function measureDetection(settings: Settings): Promise<Outcome> {
  const { runtime } = settings;
  const users = settings.users(10_000);
  requireDescriptors(users);
  // All of them become silent within seconds, which the breaker would count as a network fault.
  const env = { LINGXI_MASS_TIMEOUT_SHARE: '0', ...settings.timeoutEnv };
  return withStores((stores, { postgres }) =>
    withGateway({ runtime, stores, env }, (gateway) =>
      withLoad(async (load) => {
        const open = { port: gateway.port(), secret: gateway.jwtSecret, first: 1, count: users, pings: true };
        await load.call('open', { ...open, atOnce: AT_ONCE });
        const cursor = await feedEnd(gateway);
        await load.call('fallSilent', { overSeconds: settings.silenceSeconds });
        const { detection, settlement, ...ends } = await whenAllEnded(gateway, postgres, { cursor, users });
        const subject: Subject = `lingxi-${runtime}-redis`;
        return {
          cells: [
            { line: 'B7 detection after the deadline, 99 %', subject, value: detection.p99, unit: 'ms' },
            { line: 'B7 settlement after the deadline, 99 %', subject, value: settlement.p99, unit: 'ms' },
          ],
          curves: [
            {
              id: 'detection',
              title: `Detection after the deadline, ${users} users at random times`,
              summary: detection,
            },
            {
              id: 'settlement',
              title: `Settlement after the deadline, ${users} users at random times`,
              summary: settlement,
            },
          ],
          rows: [
            {
              what: 'B7 users who timed out',
              measured: ends.users,
              goal: `${users}`,
              met: ends.users === users,
            },
            plain('B7 from the deadline until offline', shown(detection)),
            bounded('B7 99 % of these', detection.p99, { atMost: LATE_MS, unit: ' ms' }),
            {
              ...bounded('B7 the earliest', detection.min, { atLeast: 0, unit: ' ms' }),
              // A logout before its deadline is wrong in a run of any size.
              isSpeed: false,
            },
            plain('B7 from the deadline until settled', shown(settlement)),
          ],
        };
      }),
    ),
  );
}
