import type { Runtime, Stores } from '../support/gateway-process.ts';
import { requireDescriptors } from './descriptors.ts';
import { limitRow } from './limit.ts';
import { cpuMsOf, withGateway, withLoad, withStores } from './processes.ts';
import { bounded, plain, type Row } from './rows.ts';
import type { Settings } from './settings.ts';

const AT_ONCE = 1_000;
const EMBEDDED_PER_SECOND = { bun: 15_000, node: 6_000 };
const REDIS_PER_SECOND = 5_000;

interface Storm {
  readonly name: string;
  readonly runtime: Runtime;
  readonly users: number;
  readonly stores: Stores;
  readonly goal: number;
}

/** B3: logins with HS256 tokens. Each has its period in SQL before the handshake is answered. */
export async function measureLogins({ users, runtimes }: Settings): Promise<readonly Row[]> {
  const count = users(10_000);
  requireDescriptors(count);
  const rows: Row[] = [];
  for (const runtime of runtimes) {
    const common = { runtime, users: count };
    const goal = EMBEDDED_PER_SECOND[runtime];
    rows.push(...(await storm({ ...common, name: `B3 ${runtime}, embedded`, stores: 'embedded', goal })));
    const name = `B3 ${runtime}, Redis and PostgreSQL`;
    rows.push(...(await withStores((stores) => storm({ ...common, name, stores, goal: REDIS_PER_SECOND }))));
  }
  return rows;
}

function storm({ name, runtime, users, stores, goal }: Storm): Promise<readonly Row[]> {
  return withGateway({ runtime, stores }, (gateway) =>
    withLoad(async (load) => {
      const before = await cpuMsOf(gateway);
      const { jwtSecret: secret } = gateway;
      const opened = await load.call('open', {
        ...{ port: gateway.port(), secret, first: 1, count: users, atOnce: AT_ONCE },
      });
      const server = { ms: opened.ms, cpuMs: (await cpuMsOf(gateway)) - before };
      await load.call('close');
      const perSecond = (users * 1000) / opened.ms;
      return [
        bounded(`${name}: ${users} logins, ${AT_ONCE} at once`, perSecond, { atLeast: goal, unit: '/s' }),
        plain(`${name}: CPU of the server a login`, `${((server.cpuMs * 1000) / users).toFixed(0)} µs`),
        plain(`${name}: handshakes that got 503 at first`, opened.refused),
        limitRow(name, server, opened),
      ];
    }),
  );
}
