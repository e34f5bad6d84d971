import type { Runtime, Stores } from '../../test/support/gateway-process.ts';
import { requireDescriptors } from '../descriptors.ts';
import { limitRow } from '../limit.ts';
import { bounded, type Cell, type Outcome, plain, type Row, type Subject } from '../report/rows.ts';
import {
  cpuMsOf,
  firstLogin,
  LONG_TIMEOUT,
  withGateway,
  withLoad,
  withStores,
} from '../servers/processes.ts';
import type { Settings } from '../settings.ts';

const AT_ONCE = 1_000;
const EMBEDDED_PER_SECOND = { bun: 15_000, node: 6_000 };
const REDIS_PER_SECOND = 5_000;

interface Storm {
  readonly subject: Subject;
  readonly name: string;
  readonly runtime: Runtime;
  readonly users: number;
  readonly stores: Stores;
  readonly goal: number;
}

interface Stormed {
  readonly rows: readonly Row[];
  readonly cells: readonly Cell[];
}

/** B3: logins with HS256 tokens. Each has its period in SQL before the handshake is answered. */
export async function measureLogins({ users, runtimes, runtime: main, isQuick }: Settings): Promise<Outcome> {
  const count = users(10_000);
  requireDescriptors(count);
  const storms: Stormed[] = [];
  for (const runtime of runtimes) {
    const common = { runtime, users: count };
    storms.push(
      await storm({
        ...{ ...common, subject: `lingxi-${runtime}`, name: `B3 ${runtime}, embedded`, stores: 'embedded' },
        goal: EMBEDDED_PER_SECOND[runtime],
      }),
    );
    if (isQuick && runtime !== main) continue;
    const name = `B3 ${runtime}, Redis and PostgreSQL`;
    const subject: Subject = `lingxi-${runtime}-redis`;
    storms.push(
      await withStores((stores) => storm({ ...common, subject, name, stores, goal: REDIS_PER_SECOND })),
    );
  }
  return { rows: storms.flatMap(({ rows }) => rows), cells: storms.flatMap(({ cells }) => cells) };
}

function storm({ subject, name, runtime, users, stores, goal }: Storm): Promise<Stormed> {
  return withGateway({ runtime, stores, env: LONG_TIMEOUT }, (gateway) =>
    withLoad(async (load) => {
      await firstLogin(load, gateway, users + 1);
      const before = await cpuMsOf(gateway);
      const { jwtSecret: secret } = gateway;
      const opened = await load.call('open', {
        ...{ port: gateway.port(), secret, first: 1, count: users, atOnce: AT_ONCE },
      });
      const server = { ms: opened.ms, cpuMs: (await cpuMsOf(gateway)) - before };
      await load.call('close');
      const perSecond = (users * 1000) / opened.ms;
      const micros = (server.cpuMs * 1000) / users;
      return {
        cells: [
          { line: `B3 logins/s, ${AT_ONCE} at once`, subject, value: perSecond, unit: '/s' },
          { line: 'B3 CPU of a login', subject, value: micros, unit: 'µs' },
        ],
        rows: [
          bounded(`${name}: ${users} logins, ${AT_ONCE} at once`, perSecond, { atLeast: goal, unit: '/s' }),
          plain(`${name}: CPU of the server a login`, `${micros.toFixed(0)} µs`),
          plain(`${name}: handshakes that got 503 at first`, opened.refused),
          limitRow(name, 'fast', { server, load: opened }),
        ],
      };
    }),
  );
}
