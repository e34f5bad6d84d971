import type { Config } from '../config/config.ts';
import type { PushRequest } from '../connection/delivery.ts';
import type { ObservedTime } from '../heartbeat/observed-time.ts';
import type { Clock } from '../lib/clock.ts';
import { ok, type Result } from '../lib/result.ts';
import type { Log } from '../logging/log.ts';
import type { PeriodRow, UserStore } from '../settlement/user-store.ts';
import { MemoryPresenceStore } from './memory-store.ts';
import type { PresenceStore } from './presence-store.ts';

export interface PresenceStoreOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly time: ObservedTime;
  readonly node: string;
  readonly log: Log;
  readonly users: UserStore;
}

export interface OpenedPresenceStore {
  readonly store: PresenceStore;
  /** True where no other node can share it. */
  readonly alone: boolean;
  /** Hears what foreign programs push (`LINGXI_PUSH_CHANNEL`); absent in-process. */
  readonly listen?: (push: (request: PushRequest) => void) => void;
}

const ADOPTION_PAGE = 500;

/** The in-process store, or Redis where `REDIS_URL` is set. A failure is one sentence that says what to do. */
export async function createPresenceStore(
  options: PresenceStoreOptions,
): Promise<Result<OpenedPresenceStore, { message: string }>> {
  const store = new MemoryPresenceStore({ ...options, ...rulesOf(options.config) });
  await adoptOpenPeriods(store, options);
  return ok({ store, alone: true });
}

function rulesOf(config: Config): {
  policy: Config['sessionPolicy'];
  maxConnectionsPerUser: number;
  lastSeenTtlMs: number;
} {
  return {
    policy: config.sessionPolicy,
    maxConnectionsPerUser: config.maxConnectionsPerUser,
    lastSeenTtlMs: config.lastSeenTtlS * 1000,
  };
}

/** What a process that died left open lingers on in this one (rule ST8). */
async function adoptOpenPeriods(store: MemoryPresenceStore, options: PresenceStoreOptions): Promise<void> {
  const { users, config } = options;
  let after: { readonly userId: number; readonly period: number } | undefined;
  for (;;) {
    const rows: readonly PeriodRow[] = await users.openPeriods({
      limit: ADOPTION_PAGE,
      ...(after === undefined ? {} : { after }),
    });
    const lastAliveAt = await users.nodeLives([...new Set(rows.map(({ node }) => node))]);
    store.adopt(rows, { lingerMs: config.heartbeatTimeoutMs, lastAliveAt });
    const last = rows.at(-1);
    if (last === undefined || rows.length < ADOPTION_PAGE) return;
    after = { userId: last.userId, period: last.period };
  }
}
