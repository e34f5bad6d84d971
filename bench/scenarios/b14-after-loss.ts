import { eventually } from '../../test/support/ports.ts';
import { requireDescriptors } from '../descriptors.ts';
import { limitOf } from '../limit.ts';
import { bounded, type Outcome, plain, type Subject } from '../report/rows.ts';
import {
  cpuMsOf,
  firstLogin,
  LONG_TIMEOUT,
  withGateway,
  withLoad,
  withStores,
} from '../servers/processes.ts';
import type { Settings } from '../settings.ts';

const AT_ONCE = 1_000;
const SHARE = 0.5;
const READY_TIMEOUT_MS = 30_000;

/** B14: users with open rows log in after `kill -9` of the only node and the loss of all data in Redis. */
export function measureAfterLoss(settings: Settings): Promise<Outcome> {
  const { runtime } = settings;
  const users = settings.users(10_000);
  requireDescriptors(users);
  return withStores((stores, { redis, postgres }) =>
    withGateway({ runtime, stores, env: LONG_TIMEOUT }, (gateway) =>
      withLoad(async (load) => {
        const open = { secret: gateway.jwtSecret, first: 1, count: users, atOnce: AT_ONCE, pings: true };
        await firstLogin(load, gateway, users + 1);
        const before = await load.call('open', { ...open, port: gateway.port() });
        await load.call('allowEnds');
        await gateway.kill();
        await redis.cli('FLUSHALL');
        await load.call('close');
        await gateway.restart();
        await eventually(
          async () => {
            const { status } = await gateway.call('GET', '/readyz');
            if (status !== 200) throw new Error(`the node was not ready within ${READY_TIMEOUT_MS / 1000} s`);
          },
          { timeoutMs: READY_TIMEOUT_MS, intervalMs: 10 },
        );
        const cpuBefore = await cpuMsOf(gateway);
        const after = await load.call('open', { ...open, port: gateway.port() });
        const cpuMs = (await cpuMsOf(gateway)) - cpuBefore;
        const [row] = await postgres.query(
          'SELECT count(*) FILTER (WHERE settled_at IS NULL) AS open, count(*) AS periods FROM lingxi_periods WHERE user_id <= $1',
          [users],
        );
        const perSecond = (spent: { readonly ms: number }): number => (users * 1000) / spent.ms;
        const subject: Subject = `lingxi-${runtime}-redis`;
        return {
          cells: [
            { line: 'B14 logins/s after kill -9 and FLUSHALL', subject, value: perSecond(after), unit: '/s' },
            { line: 'B14 CPU of one of them', subject, value: (cpuMs * 1000) / users, unit: 'µs' },
          ],
          rows: [
            plain('B14 logins before', `${perSecond(before).toFixed(0)}/s`),
            plain('B14 logins after kill -9 and FLUSHALL', `${perSecond(after).toFixed(0)}/s`),
            bounded('B14 share of the rate before', after.ms > 0 ? before.ms / after.ms : Number.NaN, {
              ...{ atLeast: SHARE, unit: '', digits: 2 },
            }),
            plain('B14 handshakes that got 503 at first', after.refused),
            {
              ...{ what: 'B14 users with one open period', measured: Number(row?.['open']) },
              ...{ goal: `${users}`, met: Number(row?.['open']) === users },
            },
            plain('B14 periods in all', Number(row?.['periods'])),
            plain('B14 the limit was', limitOf('fast', { ms: after.ms, cpuMs }, after)),
          ],
        };
      }),
    ),
  );
}
