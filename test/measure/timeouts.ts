import type { Gateway } from '../support/gateway-process.ts';
import { eventually, sleep } from '../support/ports.ts';
import type { PostgresServer } from '../support/services.ts';
import { connectUsers, PING } from './pinging-clients.ts';
import { withGateway, withStores } from './processes.ts';
import type { Row } from './rows.ts';
import type { Settings } from './settings.ts';
import { ascending } from './statistics.ts';

interface Bench {
  readonly gateway: Gateway;
  readonly postgres: PostgresServer;
}

interface PresenceEvent {
  readonly cursor: string;
  readonly type: string;
  readonly at: number;
}

const SECOND_MS = 1000;
const GIVE_UP_MS = 60_000;

/** B8: how soon users who time out at once are offline and settled. */
export const measureTimeouts = ({ runtime, users }: Settings): Promise<readonly Row[]> =>
  withStores((stores, { postgres }) =>
    withGateway({ runtime, stores, env: { LINGXI_MASS_TIMEOUT_SHARE: '0' } }, (gateway) =>
      measure({ gateway, postgres }, users(10_000)),
    ),
  );

/** Users who all send their last ping at one moment, with the breaker off. */
async function measure({ gateway, postgres }: Bench, users: number): Promise<readonly Row[]> {
  const { clients, rest } = await connectUsers(gateway, users);
  await sleep(2 * SECOND_MS);
  rest();
  await sleep(SECOND_MS);
  const before = (await eventsAfter(gateway, '0-0')).at(-1)?.cursor ?? '0-0';
  for (const client of clients) client.send(PING);
  // Seldom: who asks takes from the machine what is measured. When it was is asked afterwards.
  await eventually(
    async () => {
      const unsettled = await postgres.query('SELECT 1 FROM lingxi_periods WHERE settled_at IS NULL LIMIT 1');
      if (unsettled.length > 0) throw new Error('still open');
    },
    { timeoutMs: GIVE_UP_MS, intervalMs: SECOND_MS },
  );
  const ends = (await eventsAfter(gateway, before)).filter(({ type }) => type === 'offline');
  // The cursor is the id of the entry in its stream: Redis's clock as the user went offline.
  const late = ascending(ends.map(({ cursor, at }) => Number(cursor.split('-')[0]) - at));
  const deadlines = ascending(ends.map(({ at }) => at));
  const [first = Number.NaN, last = Number.NaN] = [deadlines[0], deadlines.at(-1)];
  const [row] = await postgres.query(
    `SELECT count(*) AS rows, (extract(epoch FROM max(pg_xact_commit_timestamp(xmin))) * 1000)::bigint AS at
     FROM lingxi_periods WHERE logout_at >= $1`,
    [new Date(first)],
  );
  const worst = late.at(-1) ?? Number.NaN;
  const settledMs = Number(row?.['at']) - first;
  const half = late[Math.floor(late.length / 2)] ?? Number.NaN;
  return [
    { what: 'users who timed out', measured: ends.length, goal: `${users}`, met: ends.length === users },
    { what: 'from the first of their deadlines to the last', measured: `${last - first} ms` },
    { what: 'offline in Redis after the deadline, half of them', measured: `${half} ms` },
    {
      ...{ what: 'offline in Redis after the deadline, all', measured: `${worst} ms` },
      ...{ goal: '<= 1000 ms', met: worst <= 1000 },
    },
    {
      ...{ what: 'rows settled in PostgreSQL', measured: Number(row?.['rows']) },
      ...{ goal: `${users}`, met: Number(row?.['rows']) === users },
    },
    {
      ...{ what: 'all settled after the first deadline', measured: `${settledMs} ms` },
      ...{ goal: '<= 2000 ms', met: settledMs <= 2000 },
    },
  ];
}

async function eventsAfter(gateway: Gateway, cursor: string): Promise<readonly PresenceEvent[]> {
  const all: PresenceEvent[] = [];
  for (let from = cursor; ; ) {
    const { body } = await gateway.service('GET', `/api/online/events?limit=1000&cursor=${from}`);
    const events = body['events'] as readonly PresenceEvent[];
    all.push(...events);
    if (events.length === 0) return all;
    from = String(body['cursor']);
  }
}
