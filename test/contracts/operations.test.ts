import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'libsql';
import { describe, expect, it } from 'vitest';
import { readMetrics } from '../support/metrics.ts';
import { eventually, sleep } from '../support/ports.ts';
import { type PresenceView, viewPresence } from '../support/presence-view.ts';
import { COMBINATIONS, type Deployment, deploy, freshUser } from '../support/stores.ts';
import { refusal } from '../support/ws-client.ts';

const ENV = {
  LINGXI_HEARTBEAT_TIMEOUT_MS: '3000',
  LINGXI_HTTP_TIMEOUT_MS: '60000',
  LINGXI_PUSH_RATE_PER_USER: '1',
  LINGXI_REDIS_TIMEOUT_MS: '500',
};
/** Enough users for the breaker, which needs 50. */
const CROWD = 60;

/** A deployment whose metrics page the test reads. */
interface Followed extends Deployment {
  readonly view: PresenceView;
  read(series: string): Promise<number>;
  /** Waits until the series shows `expected`, a value or a matcher of vitest. */
  shows(series: string, expected: unknown): Promise<void>;
  /** Waits until the series is higher by `by` than before `act`. */
  moves(series: string, by: number, act: () => unknown): Promise<void>;
}

function follow(deployment: Deployment): Followed {
  const { gateway } = deployment;
  const read = async (series: string): Promise<number> => (await readMetrics(gateway))(series);
  const shows = (series: string, expected: unknown): Promise<void> =>
    eventually(async () => expect({ [series]: await read(series) }).toEqual({ [series]: expected }), {
      timeoutMs: 15_000,
    });
  return {
    ...deployment,
    view: viewPresence(deployment),
    read,
    shows,
    async moves(series, by, act) {
      const before = await read(series);
      await act();
      await shows(series, before + by);
    },
  };
}

/** Prevents writes in SQL, as a frozen server or the lock of another program does. */
async function holdSql({ gateway, stores }: Deployment): Promise<() => void> {
  const { postgres } = stores;
  if (postgres !== undefined) {
    await postgres.freeze();
    return () => postgres.thaw();
  }
  const folder = join(gateway.dataDir, 'data');
  const file = readdirSync(folder).find((name) => name.endsWith('.db'));
  const database = new Database(join(folder, file ?? ''));
  database.exec('PRAGMA busy_timeout = 5000');
  database.exec('BEGIN IMMEDIATE');
  return () => {
    database.exec('ROLLBACK');
    database.close();
  };
}

async function comingAndGoing({ view, gateway, moves, shows }: Followed): Promise<void> {
  const [byHttp, bySocket, kicked] = [freshUser(), freshUser(), freshUser()];
  (await view.seed(freshUser())).terminate();
  await shows('lingxi_users_lingering', 1);
  // Redis counts the users online from time to time: 0 may also be its count from before this login.
  await shows('lingxi_logouts_total{reason="timeout"}', 1);
  await shows('lingxi_users_lingering', 0);
  await shows('lingxi_users_online', 0);
  await view.login(byHttp);
  await shows('lingxi_users_online', 1);
  const first = await view.seed(byHttp);
  const rest = first.keepAlive();
  let second = first;
  await moves('lingxi_connections', 1, () =>
    moves('lingxi_logins_total', 1, async () => {
      second = await view.seed(bySocket);
    }),
  );
  rest();
  // The server has counted the last heartbeat of the first socket once it has read what follows on that socket.
  await moves('lingxi_malformed_messages_total', 1, () => first.send('{"no":"type"}'));
  await moves('lingxi_heartbeats_total', 1, () => second.ping());
  // The server may close them before this process has read any number, so nothing is compared with an earlier one.
  await Promise.all([first.closed, second.closed]);
  await shows('lingxi_detection_lag_seconds_count', 2);
  await shows('lingxi_logouts_total{reason="timeout"}', 2);
  // The login by HTTP keeps the user whose socket has timed out.
  await shows('lingxi_users_lingering', 0);
  await moves('lingxi_logouts_total{reason="logout"}', 1, () => view.logout(byHttp));
  await shows('lingxi_users_online', 0);
  await view.login(kicked);
  await moves('lingxi_logouts_total{reason="kick"}', 1, () =>
    gateway.service('POST', `/api/users/${kicked}/disconnect`, {}),
  );
  await refusal(gateway.wsUrl, { token: 'no.good.token' });
  await shows('lingxi_refused_total{code="invalid-token"}', 1);
}

async function messages({ view, gateway, read, moves, shows }: Followed): Promise<void> {
  const user = freshUser();
  const client = await view.seed(user);
  const rest = client.keepAlive();
  const push = (userId: number) => gateway.service('POST', '/api/messages', { to: { userId }, type: 'a' });
  const handedOver = async (): Promise<number> =>
    (await read('lingxi_messages_total{status="written"}')) +
    (await read('lingxi_messages_total{status="queued"}'));
  const before = await handedOver();
  await moves('lingxi_messages_total{status="offline"}', 1, () => push(freshUser()));
  await Promise.all([push(user), push(user), push(user), push(user)]);
  // LINGXI_PUSH_RATE_PER_USER allows one a second. So of four at once two may pass, if a second ends between them.
  const dropped = await read('lingxi_messages_dropped_total{reason="rate"}');
  expect(dropped).toBeGreaterThanOrEqual(2);
  expect((await handedOver()) - before).toBe(4 - dropped);
  await shows('lingxi_messages_total{status="dropped"}', dropped);
  await moves('lingxi_malformed_messages_total', 1, () => client.send('{"no":"type"}'));
  rest();
  client.terminate();
}

async function crowd({ view, gateway, read, shows, periods }: Followed): Promise<void> {
  const rests: (() => void)[] = [];
  const users = Array.from({ length: CROWD }, freshUser);
  const clients = await Promise.all(
    users.map(async (user) => {
      const client = await view.seed(user);
      rests.push(client.keepAlive());
      return client;
    }),
  );
  for (const rest of rests) rest();
  for (const client of clients) client.ping();
  await gateway.waitForLog('mass-timeout-held', undefined, 15_000);
  expect(await read('lingxi_mass_timeouts_held_total')).toBeGreaterThanOrEqual(50);
  for (const client of clients) client.terminate();
  // What comes next counts the logouts that wait for SQL. These users linger before they log out. The page shows what the node
  // found when it last asked, perhaps before these logouts. So the rows say whether SQL has them.
  await eventually(
    async () => {
      for (const user of users)
        expect(await periods(user)).toMatchObject([{ reason: 'timeout', settledAt: expect.any(Number) }]);
    },
    { intervalMs: 250 },
  );
  await shows('lingxi_users_online', 0);
  await shows('lingxi_users_lingering', 0);
  await shows('lingxi_settlements_pending', 0);
}

async function waitingForSql(on: Followed): Promise<void> {
  const leaver = freshUser();
  await on.view.login(leaver);
  const release = await holdSql(on);
  try {
    await on.view.logout(leaver);
    // All other logouts are in SQL, whatever the page showed before.
    await on.shows('lingxi_settlements_pending', 1);
    await eventually(async () =>
      expect(await on.read('lingxi_settlement_oldest_age_seconds')).toBeGreaterThan(1),
    );
  } finally {
    release();
  }
  await on.shows('lingxi_settlements_pending', 0);
  await on.shows('lingxi_settlement_oldest_age_seconds', 0);
}

async function stalls({ gateway, read }: Followed): Promise<void> {
  const before = await read('lingxi_stall_credited_seconds_total');
  gateway.signalAll('SIGSTOP');
  await sleep(2_000);
  gateway.signalAll('SIGCONT');
  await eventually(async () => {
    const credited = (await read('lingxi_stall_credited_seconds_total')) - before;
    expect(credited).toBeGreaterThan(0.7);
    expect(credited).toBeLessThan(5);
  });
}

/** After the faults, the node may have to restore its holds first. */
async function loggedIn(view: PresenceView): Promise<void> {
  await eventually(async () => expect((await view.login(freshUser())).status).toBe(200));
}

async function scripts({ view, stores, read, shows }: Followed): Promise<void> {
  if (stores.redis === undefined)
    return shows('lingxi_script_duration_seconds_count{script="claim"}', Number.NaN);
  const counts = (script: string) => read(`lingxi_script_duration_seconds_count{script="${script}"}`);
  const before = [await counts('claim'), await counts('record')];
  await loggedIn(view);
  expect(await counts('claim')).toBeGreaterThan(before[0] ?? Number.NaN);
  expect(await counts('record')).toBeGreaterThan(before[1] ?? Number.NaN);
  expect(await read('lingxi_script_duration_seconds_sum{script="claim"}')).toBeGreaterThan(0);
  // A node that stands still in the pause does not notice it.
  await eventually(async () => {
    await stores.redis?.cli('CLIENT', 'PAUSE', '1200', 'ALL');
    await sleep(1_200);
    expect(await read('lingxi_script_failures_total{script="renew"}')).toBeGreaterThan(0);
  });
}

/**
 * The process dies, and another one starts. Users that only the dead process held are orphans until their proof of life expires.
 */
async function orphans({ view, gateway, stores, shows }: Followed): Promise<void> {
  await loggedIn(view);
  await gateway.kill();
  await gateway.restart({ LINGXI_HTTP_TIMEOUT_MS: '4000' });
  await shows(
    'lingxi_ghosts',
    expect.toSatisfy((left: number) => left > 0),
  );
  // In Redis the proof of the dead process stays as its last claim stated it: for a minute.
  if (stores.redis !== undefined) return;
  await shows('lingxi_ghosts', 0);
  await shows(
    'lingxi_logouts_total{reason="node-lost"}',
    expect.toSatisfy((ends: number) => ends > 0),
  );
}

describe('GET /metrics', () => {
  it.concurrent.each(COMBINATIONS)(
    '[HB5] [HB6] [ST7] each metric follows its events, on $runtime with $kind',
    { timeout: 90_000 },
    async ({ runtime, kind }) => {
      const deployment = await deploy({ runtime, kind, env: ENV });
      try {
        const followed = follow(deployment);
        await comingAndGoing(followed);
        await messages(followed);
        await crowd(followed);
        await waitingForSql(followed);
        await stalls(followed);
        await scripts(followed);
        await orphans(followed);
      } finally {
        await deployment.stop();
      }
    },
  );
});
