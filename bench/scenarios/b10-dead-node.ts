import { sleep } from '../../test/support/ports.ts';
import { requireDescriptors } from '../descriptors.ts';
import { bounded, none, type Outcome, plain, type Subject, shown } from '../report/rows.ts';
import { withGateway, withLoad, withStores } from '../servers/processes.ts';
import type { Settings } from '../settings.ts';
import { feedEnd, whenAllEnded } from './ends.ts';

const AT_ONCE = 500;
const OFFLINE_MS = 12_000;
const BEAT_SECONDS = 2;

/** B10: `kill -9` of a node with all users. Measures how long they stay online, and whether the ledger is exact. */
export function measureDeadNode(settings: Settings): Promise<Outcome> {
  const { runtime } = settings;
  const users = settings.users(10_000);
  requireDescriptors(users);
  const env = (name: string) => ({ LINGXI_NODE_NAME: name, ...settings.timeoutEnv });
  return withStores((stores, { postgres }) =>
    withGateway({ runtime, stores, env: env('a') }, (survivor) =>
      withGateway({ runtime, stores, env: env('b') }, (victim) =>
        withLoad(async (load) => {
          const open = { port: victim.port(), secret: victim.jwtSecret, first: 1, count: users, pings: true };
          await load.call('open', { ...open, atOnce: AT_ONCE });
          await load.call('beat', { perSecond: users, seconds: BEAT_SECONDS });
          const cursor = await feedEnd(survivor);
          await load.call('allowEnds');
          const killedAt = Date.now();
          await victim.kill();
          await sleep(settings.timeoutMs);
          const ends = await whenAllEnded(survivor, postgres, { cursor, users });
          // The goal applies to the default timeout of 10 s. A shorter timeout changes it.
          const atMost = OFFLINE_MS - 10_000 + settings.timeoutMs;
          const offline = ends.lastOffline - killedAt;
          const subject: Subject = `lingxi-${runtime}-redis`;
          return {
            cells: [
              {
                line: 'B10 kill -9: the last user is offline after',
                subject,
                value: offline / 1000,
                unit: 's',
                digits: 1,
              },
            ],
            rows: [
              {
                ...{ what: 'B10 users whose period ended', measured: ends.users },
                ...{ goal: `${users}`, met: ends.users === users },
              },
              bounded('B10 the last user of the dead node is offline after', offline, {
                atMost,
                unit: ' ms',
              }),
              plain('B10 from the declared logout until offline', shown(ends.detection)),
              {
                ...{ what: 'B10 rows settled, one for each user', measured: ends.rows },
                ...{ goal: `${users}`, met: ends.rows === users },
              },
              none('B10 users whose time is not that of their row', ends.wrong),
            ],
          };
        }),
      ),
    ),
  );
}
