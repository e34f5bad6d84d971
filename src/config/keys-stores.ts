import { fixed, type Keys } from './key.ts';
import { choice, columnName, flag, matching, tableName, url, whole } from './kinds.ts';

const REDIS_SCHEMES = [
  'redis',
  'rediss',
  'redis+sentinel',
  'rediss+sentinel',
  'redis+cluster',
  'rediss+cluster',
];

/** Redis and SQL: how to reach them, and how long Lingxi keeps data there. */
export const storeKeys = {
  redisUrl: {
    variable: 'REDIS_URL',
    kind: url(
      REDIS_SCHEMES,
      'a redis://, redis+sentinel:// or redis+cluster:// address, or one with rediss for TLS (special characters in the password percent-encoded)',
    ),
    defaultText: 'none: presence in this process',
    defaultValue: () => undefined,
    secret: true,
    about:
      'Redis 6.2 or later, or Valkey, for presence on several nodes: `redis://[user][:password]@host:6379/<database>`, `redis+sentinel://[user][:password]@s1:26379,s2:26379,s3:26379/<master name>/<database>?sentinelPassword=…` (user and password are those of the master and its replicas) or `redis+cluster://[user][:password]@r1:6379,r2:6379`. Name all Sentinels in a Sentinel address, and some servers in a Cluster address.',
  },
  databaseUrl: {
    variable: 'DATABASE_URL',
    kind: url(
      ['postgres', 'postgresql'],
      'a postgres:// address (special characters in the password percent-encoded)',
    ),
    defaultText: 'none: embedded SQLite file in the data folder',
    defaultValue: () => undefined,
    secret: true,
    about: 'PostgreSQL 13 or later, with the users table.',
  },
  redisTimeoutMs: {
    variable: 'LINGXI_REDIS_TIMEOUT_MS',
    kind: whole(50, 60_000, 'ms'),
    ...fixed(1000),
    about: 'A Redis command without an answer counts as lost after this time.',
  },
  sqlPool: {
    variable: 'LINGXI_SQL_POOL',
    kind: whole(1, 1000, 'connections'),
    ...fixed(10),
    about: 'Largest number of PostgreSQL connections of this process.',
  },
  sqlTimeoutMs: {
    variable: 'LINGXI_SQL_TIMEOUT_MS',
    kind: whole(50, 600_000, 'ms'),
    ...fixed(2000),
    about: 'An SQL statement without an answer counts as failed after this time.',
  },
  migrate: {
    variable: 'LINGXI_MIGRATE',
    kind: choice('auto', 'check'),
    ...fixed('auto'),
    about:
      '`auto` migrates the database at start, under a lock. `check` refuses to start on an old schema; run `lingxi migrate` first.',
  },
  usersTable: {
    variable: 'LINGXI_USERS_TABLE',
    kind: tableName,
    ...fixed('users'),
    about:
      'Table to which settlements write the logout time. The name may include a schema. With `none` they write to `lingxi_periods` only.',
  },
  usersIdColumn: {
    variable: 'LINGXI_USERS_ID_COLUMN',
    kind: columnName,
    ...fixed('id'),
    about: 'Column of the user id.',
  },
  usersTimeColumn: {
    variable: 'LINGXI_USERS_TIME_COLUMN',
    kind: columnName,
    ...fixed('last_spirit_gain_time'),
    about:
      'Column of the logout time: `timestamptz`, `timestamp` or `bigint` milliseconds. The server detects the type at start.',
  },
  unknownUsers: {
    variable: 'LINGXI_UNKNOWN_USERS',
    kind: choice('reject', 'create', 'ignore'),
    defaultText: '`create` on the embedded database, else `reject`',
    defaultValue: ({ given }) => (given.databaseUrl === undefined ? 'create' : 'reject'),
    about: 'What the server does with a login of a user who has no row in the users table.',
    seed: {
      value: 'reject',
      risk: 'users without a row in the users table cannot connect',
      // The embedded table begins empty, so `reject` would accept nobody.
      only: { text: 'with DATABASE_URL', when: ({ given }) => given.databaseUrl !== undefined },
    },
  },
  loginResetsTime: {
    variable: 'LINGXI_LOGIN_RESETS_TIME',
    kind: flag,
    ...fixed(true),
    about: 'Whether a login that opens a period sets the user’s time to now, before the user appears online.',
  },
  lastSeenTtlS: {
    variable: 'LINGXI_LAST_SEEN_TTL_S',
    kind: whole(0, 315_360_000, 's'),
    ...fixed(2_592_000),
    about: 'How long the record of an offline user stays. 0 deletes it at logout.',
    seed: {
      value: 0,
      risk: 'GET /api/online/player/:id is 404 for a user who is offline; the timeline and SQL still have the logout',
    },
  },
  periodsRetentionDays: {
    variable: 'LINGXI_PERIODS_RETENTION_DAYS',
    kind: whole(1, 36_500, 'days'),
    ...fixed(90),
    about: 'How long closed periods stay in `lingxi_periods`.',
  },
  revocationsRetentionDays: {
    variable: 'LINGXI_REVOCATIONS_RETENTION_DAYS',
    kind: whole(1, 36_500, 'days'),
    ...fixed(90),
    about:
      'How long a revocation counts. Set it to at least the life of your longest token: an older token without `exp` is valid again afterwards.',
  },
  feedLength: {
    variable: 'LINGXI_FEED_LENGTH',
    kind: whole(100, 10_000_000, 'entries'),
    ...fixed(100_000),
    about: 'Number of presence changes in the feed. A reader can go back that far.',
  },
  pushChannel: {
    variable: 'LINGXI_PUSH_CHANNEL',
    kind: matching(/^[\x21-\x7e]{1,200}$/, 'a Redis channel name of at most 200 visible ASCII characters'),
    ...fixed('lingxi:push'),
    about: 'Redis channel on which other programs publish messages.',
  },
  pushStreamLength: {
    variable: 'LINGXI_PUSH_STREAM_LENGTH',
    kind: whole(0, 100_000_000, 'entries'),
    ...fixed(1_000_000),
    about:
      'Largest number of entries that wait in `lingxi:push:stream`. The nodes delete the oldest entries beyond it. 0 = this node takes no entries.',
  },
  inboundLength: {
    variable: 'LINGXI_INBOUND_LENGTH',
    kind: whole(0, 10_000_000, 'entries'),
    ...fixed(100_000),
    about:
      'Number of client messages that the stream `lingxi:inbound` keeps, about; fewer if they take more than 64 MiB, and more than 640 bytes each. 0 = messages from clients are not written to Redis.',
  },
} satisfies Partial<Keys>;
