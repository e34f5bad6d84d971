import type { Gateway, Runtime, Stores } from '../../test/support/gateway-process.ts';
import { sleep } from '../../test/support/ports.ts';
import { requireDescriptors } from '../descriptors.ts';
import { bounded, type Outcome, plain, type Row } from '../report/rows.ts';
import { cpuMsOf, type Load, withGateway, withLoad, withStores } from '../servers/processes.ts';
import type { Settings } from '../settings.ts';

const AT_ONCE = 500;
const LOGINS_PER_SECOND = 500;
/** Users who log in by HTTP stay for this time. */
const STAY_MS = 2_000;
/** The requests of an open page: the live stream, and the next window after the last one is drawn. */
const WINDOW_MS = 500;
/** Times without and with a dashboard alternate, so that other work on the machine affects both equally. */
const TURNS = 2;
const GOAL_PERCENT = 2;
const PINGS_EACH_S = 3;

/** B15: the cost of one open dashboard for the server, with 10,000 pinging users and 500 logins a second. */
export async function measureDashboard({
  users,
  runtime,
  sendingSeconds,
  isQuick,
}: Settings): Promise<Outcome> {
  const count = users(10_000);
  requireDescriptors(count);
  const rows: Row[] = [];
  const common = { runtime, users: count, seconds: sendingSeconds, turns: isQuick ? 1 : TURNS };
  rows.push(...(await cost({ ...common, name: `B15 ${runtime}, embedded`, stores: 'embedded' })));
  if (isQuick) return { rows };
  const name = `B15 ${runtime}, Redis and PostgreSQL`;
  rows.push(...(await withStores((stores) => cost({ ...common, name, stores }))));
  return { rows };
}

/**
 * On a busy machine, connecting 10,000 users takes longer than ten seconds, and the first of them must not time out meanwhile.
 */
const ENV = {
  LINGXI_LOGINS_PER_MINUTE: '0',
  LINGXI_HEARTBEAT_TIMEOUT_MS: '120000',
  LINGXI_READ_TIMEOUT_MS: '600000',
};

interface Run {
  readonly name: string;
  readonly runtime: Runtime;
  readonly users: number;
  readonly seconds: number;
  readonly turns: number;
  readonly stores: Stores;
}

function cost({ name, runtime, users, seconds, turns, stores }: Run): Promise<readonly Row[]> {
  return withGateway({ runtime, stores, env: ENV }, (gateway) =>
    withLoad(async (load) => {
      const { jwtSecret: secret } = gateway;
      await load.call('open', {
        port: gateway.port(),
        secret,
        first: 1,
        count: users,
        atOnce: AT_ONCE,
        protocol: 'lingxi.v1',
      });
      const spent = { without: 0, with: 0 };
      let windows = 0;
      for (let turn = 0; turn < turns; turn += 1) {
        spent.without += await cpuOf(gateway, load, { users, seconds });
        const dashboard = openDashboard(gateway);
        spent.with += await cpuOf(gateway, load, { users, seconds });
        windows += await dashboard.close();
      }
      await load.call('close');
      const percentOf = (ms: number): number => ms / (seconds * turns * 10);
      const share = percentOf(spent.with) - percentOf(spent.without);
      return [
        bounded(`${name}: one open dashboard, of a core`, share, {
          atMost: GOAL_PERCENT,
          unit: ' %',
          digits: 1,
        }),
        plain(
          `${name}: the server without a dashboard, of a core`,
          `${percentOf(spent.without).toFixed(1)} %`,
        ),
        plain(`${name}: windows of users that the dashboard got`, windows),
      ];
    }),
  );
}

/** CPU of the server while all users ping and others log in and out. */
async function cpuOf(
  gateway: Gateway,
  load: Load,
  { users, seconds }: { readonly users: number; readonly seconds: number },
): Promise<number> {
  const before = await cpuMsOf(gateway);
  await Promise.all([
    load.call('ping', { perSecond: Math.round(users / PINGS_EACH_S), seconds }),
    logInAndOut(gateway, { first: users + 1, seconds }),
  ]);
  return (await cpuMsOf(gateway)) - before;
}

/** Logs in by HTTP, at an even pace. */
async function logInAndOut(
  gateway: Gateway,
  { first, seconds }: { readonly first: number; readonly seconds: number },
): Promise<void> {
  const pending: Promise<unknown>[] = [];
  const began = performance.now();
  const stay = async (userId: number): Promise<void> => {
    const body = { playerId: String(userId) };
    const login = await gateway.service('POST', '/api/online/login', body);
    if (login.status !== 200) throw new Error(`a login got ${login.status}: ${login.text}`);
    await sleep(STAY_MS);
    await gateway.service('POST', '/api/online/logout', body);
  };
  const total = LOGINS_PER_SECOND * seconds;
  for (let made = 0; made < total; ) {
    const due = Math.min(total, Math.floor(((performance.now() - began) * LOGINS_PER_SECOND) / 1000));
    for (; made < due; made += 1) pending.push(stay(first + (made % (LOGINS_PER_SECOND * 4))));
    await sleep(10);
  }
  await Promise.all(pending);
}

function openDashboard(gateway: Gateway): { readonly close: () => Promise<number> } {
  const abort = new AbortController();
  const headers = { authorization: `Bearer ${gateway.apiKey}` };
  const get = (path: string): Promise<Response> =>
    fetch(`${gateway.url}/api/dashboard/${path}`, { headers, signal: abort.signal });
  const follow = async (): Promise<void> => {
    const { body } = await get('live');
    // The work of the page itself is not measured.
    for await (const _chunk of body as unknown as AsyncIterable<Uint8Array>) if (abort.signal.aborted) return;
  };
  let windows = 0;
  const show = async (): Promise<void> => {
    while (!abort.signal.aborted) {
      const answer = await get('users?limit=50');
      await answer.arrayBuffer();
      if (answer.status === 200) windows += 1;
      await sleep(WINDOW_MS);
    }
  };
  const ended = Promise.allSettled([follow(), show()]);
  return {
    async close() {
      abort.abort();
      await ended;
      return windows;
    },
  };
}
