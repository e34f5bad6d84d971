import type { FeedEvent } from './feed.ts';
import type { Site } from './site.ts';

/** What the books are read from. */
interface Stores {
  readonly postgres: Pick<Site['postgres'], 'query'>;
  readonly redis: Pick<Site['redis'], 'cli'>;
}

type Row = Readonly<Record<string, unknown>>;

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

/** A row that the product deleted from `lingxi_periods`, as it was before. */
export interface DeletedRow {
  readonly userId: number;
  readonly period: number;
  readonly loginAt: number;
  readonly deletedAt: number;
  /** It had neither a logout nor a settlement. */
  readonly wasOpen: boolean;
  /** All of this as a sentence. */
  readonly text: string;
}

/** The contents of SQL and Redis at the end. */
export interface Books {
  readonly periods: ReadonlyMap<number, readonly PeriodEntry[]>;
  /** `last_spirit_gain_time` of the users who have one. */
  readonly times: ReadonlyMap<number, number>;
  /** Changes of rows after their settlement, one sentence each. */
  readonly changes: readonly string[];
  readonly deleted: readonly DeletedRow[];
  /** What is left although no user is online. */
  readonly leftovers: readonly string[];
}

const ms = (value: unknown): number => (value instanceof Date ? value.getTime() : Number.NaN);
const iso = (value: unknown): string => (value instanceof Date ? value.toISOString().slice(14, 23) : 'none');

export async function readBooks(site: Stores): Promise<Books> {
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
  const isDeletion = (row: Row): boolean => row['what'] === 'deleted';
  return {
    periods,
    times: new Map(times.map((row) => [Number(row['id']), ms(row['time'])])),
    changes: changes.filter((row) => !isDeletion(row)).map(textOf),
    deleted: changes.filter(isDeletion).map((row) => ({
      userId: Number(row['user_id']),
      period: Number(row['period']),
      loginAt: ms(row['old_login']),
      deletedAt: ms(row['at']),
      wasOpen: row['old_settled'] === null && row['old_logout'] === null,
      text: textOf(row),
    })),
    leftovers: await leftoversOf(site),
  };
}

function textOf(row: Row): string {
  return (
    `${String(row['user_id'])}:${String(row['period'])} ${String(row['what'])} at ${iso(row['at'])}: ` +
    `${iso(row['old_logout'])} ${String(row['old_reason'])} became ${iso(row['new_logout'])} ${String(row['new_reason'])}`
  );
}

/** Things that must be gone before the judges start: open rows, duties, users shown as online. */
export async function leftoversOf(site: Stores): Promise<readonly string[]> {
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

/** Everything that the judges use besides the facts of the clients. */
export interface Evidence extends Books {
  readonly feed: { readonly events: readonly FeedEvent[]; readonly expired: number };
}
