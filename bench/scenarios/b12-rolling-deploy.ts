import { readMetrics } from '../../test/support/metrics.ts';
import { sleep } from '../../test/support/ports.ts';
import { requireDescriptors } from '../descriptors.ts';
import { none, type Outcome, plain, type Subject, shown } from '../report/rows.ts';
import { withGateway, withLoad, withStores } from '../servers/processes.ts';
import type { Settings } from '../settings.ts';

const AT_ONCE = 500;
/** Longer than the drain: otherwise users who did not move would time out meanwhile. */
const REST_MS = 1_000;
/** Users who have not returned by then will not return. */
const LAST_RETURNS_MS = 30_000;

/** B12: one of two nodes, with all users, is drained and replaced. Its users connect to the other one. Nobody is logged out. */
export function measureRollingDeploy(settings: Settings): Promise<Outcome> {
  const { runtime, drainMs } = settings;
  const users = settings.users(10_000);
  // While users move, a user may have an ending and a new socket.
  requireDescriptors(users, users / 2);
  const env = (name: string) => ({ LINGXI_NODE_NAME: name, LINGXI_DRAIN_TIMEOUT_MS: String(drainMs) });
  return withStores((stores, { postgres }) =>
    withGateway({ runtime, stores, env: env('a') }, (stays) =>
      withGateway({ runtime, stores, env: env('b') }, (leaves) =>
        withLoad(async (load) => {
          const open = { secret: leaves.jwtSecret, first: 1, count: users, pings: true, atOnce: AT_ONCE };
          await load.call('open', { ...open, port: leaves.port() });
          await load.call('comeBack', { ...open, port: stays.port() });
          const seconds = Math.ceil(drainMs / 1000) + 2;
          const beating = load.call('beat', { perSecond: users, seconds });
          const start = performance.now();
          const exit = await leaves.terminate();
          const drained = performance.now() - start;
          await leaves.restart();
          await beating;
          await sleep(REST_MS);
          const until = performance.now() + LAST_RETURNS_MS;
          let returned = await load.call('returned');
          while (returned.back < users && performance.now() < until) {
            await load.call('beat', { perSecond: users, seconds: 1 });
            returned = await load.call('returned');
          }
          const [row] = await postgres.query(
            'SELECT count(*) FILTER (WHERE logout_at IS NOT NULL) AS ended, count(*) AS periods FROM lingxi_periods',
          );
          const logouts = Number(row?.['ended']);
          const online = (await readMetrics(stays))('lingxi_users_online');
          const subject: Subject = `lingxi-${runtime}-redis`;
          const { latency } = returned;
          return {
            cells: [
              { line: 'B12 drain: peak logins/s', subject, value: returned.peakPerSecond, unit: '/s' },
              { line: 'B12 drain: until users are back, 99 %', subject, value: latency.p99, unit: 'ms' },
            ],
            curves: [
              { id: 'back-online', title: `Back online after a drain, ${users} users`, summary: latency },
            ],
            rows: [
              plain(
                `B12 the drain of ${users} users, of at most ${drainMs / 1000} s`,
                `${drained.toFixed(0)} ms`,
              ),
              {
                what: 'B12 how the node ended',
                measured: `exit code ${exit.code}`,
                goal: '0',
                met: exit.code === 0,
              },
              none('B12 logouts', logouts),
              {
                ...{ what: 'B12 periods, one for each user', measured: Number(row?.['periods']) },
                ...{ goal: `${users}`, met: Number(row?.['periods']) === users },
              },
              {
                ...{
                  what: 'B12 users who were moved and are back',
                  measured: `${returned.back} of ${users}`,
                },
                ...{ goal: `${users}`, met: returned.back === users },
              },
              plain('B12 users online afterwards', online),
              plain('B12 peak of logins', `${returned.peakPerSecond}/s`),
              plain('B12 logins that got 503 at first', returned.refused),
              plain('B12 from the end of a connection to the next', shown(latency)),
            ],
          };
        }),
      ),
    ),
  );
}
