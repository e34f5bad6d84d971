import { type Summary, summarize } from '../../src/cli/bench/statistics.ts';
import type { Gateway } from '../../test/support/gateway-process.ts';
import { eventually } from '../../test/support/ports.ts';
import type { PostgresServer } from '../../test/support/services.ts';

const INTERVAL_MS = 500;
const GIVE_UP_MS = 60_000;
const PAGE = 1_000;

interface PresenceEvent {
  readonly cursor: string;
  readonly type: string;
  readonly userId: number;
  readonly at: number;
}

/** How users went offline, and how their logouts reached SQL. The times are from the clocks of Redis and PostgreSQL. */
export interface Ends {
  readonly users: number;
  /** The expected logouts: the deadlines of the users. */
  readonly firstDeadline: number;
  readonly lastDeadline: number;
  /** The last user went offline in Redis. */
  readonly lastOffline: number;
  /** The last row was committed. */
  readonly lastSettled: number;
  /** From the deadline until the user was offline in Redis. */
  readonly detection: Summary;
  /** From the deadline until the row was committed. */
  readonly settlement: Summary;
  /** Number of settled rows. */
  readonly rows: number;
  /** Users whose time in the users table differs from that of their row, or who have more than one row. */
  readonly wrong: number;
}

/** The present end of the feed. */
export async function feedEnd(gateway: Gateway): Promise<string> {
  return (await eventsAfter(gateway, '0-0')).at(-1)?.cursor ?? '0-0';
}

/** Waits until every period is settled, and returns how the users went offline. Checks rarely, because each check costs CPU. */
export async function whenAllEnded(
  gateway: Gateway,
  postgres: PostgresServer,
  since: { readonly cursor: string; readonly users: number },
): Promise<Ends> {
  await eventually(
    async () => {
      const open = await postgres.query('SELECT 1 FROM lingxi_periods WHERE settled_at IS NULL LIMIT 1');
      if (open.length > 0) throw new Error(`periods were still open after ${GIVE_UP_MS / 1000} s`);
    },
    { timeoutMs: GIVE_UP_MS, intervalMs: INTERVAL_MS },
  );
  const ends = (await eventsAfter(gateway, since.cursor)).filter(({ type }) => type === 'offline');
  // The cursor is the id of the entry in its stream: the clock of Redis when the user went offline.
  const offlineAt = ends.map(({ cursor }) => Number(cursor.split('-')[0]));
  const deadlines = ends.map(({ at }) => at);
  const rows = await postgres.query(
    `SELECT (extract(epoch FROM pg_xact_commit_timestamp(p.xmin)) * 1000)::float8 AS settled,
            (extract(epoch FROM p.logout_at) * 1000)::float8 AS logout,
            (u.last_spirit_gain_time IS DISTINCT FROM p.logout_at) AS wrong
     FROM lingxi_periods p LEFT JOIN users u ON u.id = p.user_id`,
  );
  const twice = await postgres.query(
    'SELECT user_id FROM lingxi_periods GROUP BY user_id HAVING count(*) > 1',
  );
  const settledAt = rows.map((row) => Number(row['settled']));
  return {
    users: ends.length,
    firstDeadline: deadlines.reduce((least, at) => Math.min(least, at), Number.POSITIVE_INFINITY),
    lastDeadline: deadlines.reduce((most, at) => Math.max(most, at), Number.NEGATIVE_INFINITY),
    lastOffline: offlineAt.reduce((most, at) => Math.max(most, at), Number.NEGATIVE_INFINITY),
    lastSettled: settledAt.reduce((most, at) => Math.max(most, at), Number.NEGATIVE_INFINITY),
    detection: summarize(offlineAt.map((at, index) => at - (deadlines[index] ?? Number.NaN))),
    settlement: summarize(rows.map((row) => Number(row['settled']) - Number(row['logout']))),
    rows: rows.length,
    wrong: rows.filter((row) => row['wrong'] === true).length + twice.length,
  };
}

async function eventsAfter(gateway: Gateway, cursor: string): Promise<readonly PresenceEvent[]> {
  const all: PresenceEvent[] = [];
  for (let from = cursor; ; ) {
    const { body } = await gateway.service('GET', `/api/online/events?limit=${PAGE}&cursor=${from}`);
    const events = body['events'] as readonly PresenceEvent[];
    all.push(...events);
    if (events.length === 0) return all;
    from = String(body['cursor']);
  }
}
