import type { Summary } from '../../src/cli/bench/statistics.ts';
import type { Gateway } from '../../test/support/gateway-process.ts';
import { sleep } from '../../test/support/ports.ts';
import type { Spent } from '../clock.ts';
import { requireDescriptors } from '../descriptors.ts';
import { doneRow, limitRow } from '../limit.ts';
import { bounded, type Outcome, plain, type Subject, shown } from '../report/rows.ts';
import {
  cpuMsOf,
  type Load,
  SELDOM_HEARTBEATS,
  withGateway,
  withLoad,
  withStores,
} from '../servers/processes.ts';
import type { Settings } from '../settings.ts';

const AT_ONCE = 500;
const USERS = 5_000;
const PER_SECOND = 5_000;
/** Messages per request, so that the requests themselves cost little. */
const BATCH = 10;
const CONNECTIONS = 32;
const LATENCY_MS = 3;
const LOCAL_RATIO = 3;
const WARM_UP_SECONDS = 1;
const ARRIVAL_MS = 1_000;

interface Journey {
  readonly asked: number;
  readonly frames: number;
  readonly latency: Summary;
  /** CPU of both nodes. */
  readonly micros: number;
  readonly server: Spent;
  readonly load: Spent;
}

/** B9: messages from one node to users on the other, beside the same messages to users on the called node. */
export async function measureNodes(settings: Settings): Promise<Outcome> {
  const { runtime, sendingSeconds: seconds } = settings;
  const users = settings.users(USERS);
  requireDescriptors(users, CONNECTIONS);
  const env = (name: string) => ({ ...SELDOM_HEARTBEATS, LINGXI_NODE_NAME: name });
  return withStores((stores) =>
    withGateway({ runtime, stores, env: env('a') }, (near) =>
      withGateway({ runtime, stores, env: env('b') }, (far) =>
        withLoad(async (load) => {
          const open = { secret: far.jwtSecret, first: 1, count: users, atOnce: AT_ONCE };
          await load.call('open', { ...open, port: far.port() });
          const plan = { load, nodes: [near, far], users, seconds };
          const local = await travel({ ...plan, asked: far });
          const across = await travel({ ...plan, asked: near });
          const name = `B9 ${runtime}, ${users} connections, ${PER_SECOND}/s`;
          const cpu = `local ${local.micros.toFixed(1)} µs, across ${across.micros.toFixed(1)} µs`;
          const subject: Subject = `lingxi-${runtime}-redis`;
          const rows = [
            doneRow(`${name}, local`, local.asked, local.frames),
            doneRow(`${name}, across`, across.asked, across.frames),
            plain(`${name}: local, from the intended time to the arrival`, shown(local.latency)),
            plain(`${name}: across, from the intended time to the arrival`, shown(across.latency)),
            bounded(`${name}: across, 99 % of these`, across.latency.p99, {
              atMost: LATENCY_MS,
              unit: ' ms',
              digits: 1,
            }),
            plain(`${name}: CPU of both nodes a message`, cpu),
            bounded(`${name}: × local`, across.micros / local.micros, {
              atMost: LOCAL_RATIO,
              unit: '',
              digits: 2,
            }),
            limitRow(`${name}, across`, 'pace', across),
          ];
          const line = 'B9 latency to the other node, 99 %';
          return {
            rows,
            cells: [{ line, subject, value: across.latency.p99, unit: 'ms', digits: 1 }],
            curves: [
              {
                id: 'delivery-between-nodes',
                title: `Delivery from node to node, ${PER_SECOND} messages/s`,
                summary: across.latency,
              },
            ],
          };
        }),
      ),
    ),
  );
}

async function travel(plan: {
  readonly load: Load;
  readonly nodes: readonly Gateway[];
  readonly asked: Gateway;
  readonly users: number;
  readonly seconds: number;
}): Promise<Journey> {
  const { load, nodes, asked, users, seconds } = plan;
  const spent = async (): Promise<number> => {
    const each = await Promise.all(nodes.map(cpuMsOf));
    return each.reduce((sum, ms) => sum + ms, 0);
  };
  const posting = {
    ...{ port: asked.port(), apiKey: asked.apiKey, batch: BATCH, connections: CONNECTIONS },
    ...{ first: 1, users, perSecond: PER_SECOND },
  };
  await load.call('post', { ...posting, seconds: WARM_UP_SECONDS });
  await sleep(ARRIVAL_MS);
  await load.call('forget');
  const before = await spent();
  const posted = await load.call('post', { ...posting, seconds });
  await sleep(ARRIVAL_MS);
  const cpuMs = (await spent()) - before;
  const { frames, latency } = await load.call('received');
  return {
    ...{ asked: posted.asked, frames, latency, micros: (cpuMs * 1000) / posted.asked },
    ...{ server: { ms: posted.ms, cpuMs }, load: posted },
  };
}
