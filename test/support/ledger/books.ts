import type { FeedReader } from './feed.ts';
import type { Site } from './site.ts';

/** A row of `lingxi_periods`. */
export interface PeriodEntry {
  readonly userId: number;
  readonly period: number;
  readonly loginAt: number;
  readonly lastSeenAt: number;
  readonly logoutAt: number;
  readonly reason: string;
  readonly settledAt: number;
  readonly node: string;
}

/** What SQL and Redis say once everything is over. */
export interface Books {
  readonly periods: ReadonlyMap<number, readonly PeriodEntry[]>;
  /** `last_spirit_gain_time` of those who have one. */
  readonly times: ReadonlyMap<number, number>;
  /** What happened to rows after they were settled, one sentence each. */
  readonly changes: readonly string[];
  /** What is left although nobody is there. */
  readonly leftovers: readonly string[];
}

const ms = (value: unknown): number => (value instanceof Date ? value.getTime() : Number.NaN);
const iso = (value: unknown): string => (value instanceof Date ? value.toISOString().slice(14, 23) : 'none');

export async function readBooks(site: Site): Promise<Books> {
  const { postgres } = site;
  const periods = new Map<number, PeriodEntry[]>();
  for (const row of await postgres.query('SELECT * FROM lingxi_periods ORDER BY user_id, period')) {
    const userId = Number(row['user_id']);
    const ofUser = periods.get(userId) ?? [];
    periods.set(userId, ofUser);
    ofUser.push({
      userId,
      period: Number(row['period']),
      loginAt: ms(row['login_at']),
      lastSeenAt: ms(row['last_seen_at']),
      logoutAt: ms(row['logout_at']),
      reason: String(row['reason']),
      settledAt: ms(row['settled_at']),
      node: String(row['node']),
    });
  }
  const times = await postgres.query(
    'SELECT id, last_spirit_gain_time AS time FROM users WHERE last_spirit_gain_time IS NOT NULL',
  );
  const changes = await postgres.query('SELECT * FROM ledger_changes ORDER BY at');
  return {
    periods,
    times: new Map(times.map((row) => [Number(row['id']), ms(row['time'])])),
    changes: changes.map(
      (row) =>
        `${String(row['user_id'])}:${String(row['period'])} ${String(row['what'])} at ${iso(row['at'])}: ` +
        `${iso(row['old_logout'])} ${String(row['old_reason'])} became ${iso(row['new_logout'])} ${String(row['new_reason'])}`,
    ),
    leftovers: await leftoversOf(site),
  };
}

/** What must be gone before anybody judges: open rows, duties, users who are shown online. */
export async function leftoversOf(site: Site): Promise<readonly string[]> {
  const { postgres, redis } = site;
  const open = await postgres.query(
    'SELECT user_id, period FROM lingxi_periods WHERE settled_at IS NULL ORDER BY user_id LIMIT 20',
  );
  const [duties, online, aside] = await Promise.all([
    redis.cli('XLEN', 'lingxi:duties'),
    redis.cli('SCARD', 'server:online:players'),
    redis.cli('HLEN', 'lingxi:aside'),
  ]);
  return [
    ...open.map((row) => `${String(row['user_id'])}:${String(row['period'])} is open`),
    ...(duties === '0' ? [] : [`${duties} duties are left`]),
    ...(online === '0' ? [] : [`${online} users are online`]),
    ...(aside === '0' ? [] : [`${aside} duties were set aside`]),
  ];
}

/** All that the judges look at beside what the clients know. */
export interface Evidence extends Books {
  readonly feed: FeedReader;
}
