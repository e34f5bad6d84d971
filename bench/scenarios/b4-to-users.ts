import type { Runtime } from '../../test/support/gateway-process.ts';
import { sleep } from '../../test/support/ports.ts';
import { requireDescriptors } from '../descriptors.ts';
import { doneRow, limitRow } from '../limit.ts';
import {
  bounded,
  joined,
  type Outcome,
  plain,
  type Row,
  type Subject,
  shown,
  unmeasured,
} from '../report/rows.ts';
import { withLibrary, withLoad } from '../servers/processes.ts';
import type { Settings } from '../settings.ts';
import { measurePeerDeliveries } from './peer-deliveries.ts';

/** Handshakes in progress while the receivers connect. */
const AT_ONCE = 500;
const USERS = 5_000;
const FLOOR_RATIO = 1.5;
const LATENCY_MS = 5;
const SHARE_OF_CAPACITY = 0.1;
/** Not counted: in this time the runtime compiles hot code. */
const WARM_UP_SECONDS = 1;
/** Messages in transit arrive within this time. */
const ARRIVAL_MS = 500;
/** The clocks of two processes on one machine differ by less than this. */
const CLOCK_SLACK_MS = 0.5;

const LINE = 'B4 CPU of a message to a random user';

/** B4: `sendToUser` to random users, from the program that embeds the gateway, beside the bare servers. */
export async function measureToUsers(settings: Settings): Promise<Outcome> {
  const users = settings.users(USERS);
  requireDescriptors(users);
  const peers = await measurePeerDeliveries(settings, { name: 'B4', line: LINE, users });
  const outcomes: Outcome[] = [];
  for (const runtime of settings.runtimes)
    outcomes.push(await measureLibrary(settings, runtime, peers.micros.get('floor')));
  return joined([peers, ...outcomes]);
}

function measureLibrary(settings: Settings, runtime: Runtime, floor: number | undefined): Promise<Outcome> {
  const { sendingSeconds: seconds } = settings;
  const users = settings.users(USERS);
  return withLibrary(runtime, (library, server) =>
    withLoad(async (load) => {
      await load.call('open', { ...server, first: 1, count: users, atOnce: AT_ONCE });
      await library.call('flood', { users, seconds: WARM_UP_SECONDS });
      await sleep(ARRIVAL_MS);
      await load.call('forget');
      const flood = await library.call('flood', { users, seconds });
      await sleep(ARRIVAL_MS);
      const flooded = await load.call('received');
      const perSecond = Math.max(1, Math.round(((flood.taken * 1000) / flood.ms) * SHARE_OF_CAPACITY));
      await load.call('forget');
      const steady = await library.call('steady', { users, seconds, perSecond });
      await sleep(ARRIVAL_MS);
      const { frames, latency } = await load.call('received');
      if (latency.min < -CLOCK_SLACK_MS)
        throw new Error(
          `a message arrived ${-latency.min} ms before it was sent: the clock of the machine was set`,
        );
      const name = `B4 ${runtime}, ${users} connections`;
      const micros = (flood.cpuMs * 1000) / flood.taken;
      const subject: Subject = `lingxi-${runtime}`;
      return {
        cells: [
          { line: LINE, subject, value: micros, unit: 'µs', digits: 1 },
          { line: 'B4 messages/s', subject, value: (flood.taken * 1000) / flood.ms, unit: '/s' },
          { line: 'B4 latency at a tenth of that, 99 %', subject, value: latency.p99, unit: 'ms', digits: 1 },
        ],
        curves: [
          {
            id: `delivery-${runtime}`,
            title: `Delivery on ${runtime}: ${perSecond} messages/s in this process`,
            summary: latency,
          },
        ],
        rows: [
          ...floorRows(name, micros, { floor, ratio: runtime === 'bun' ? FLOOR_RATIO : undefined }),
          plain(`${name}: messages a second, as fast as it can`, Math.round((flood.taken * 1000) / flood.ms)),
          plain(`${name}: dropped meanwhile because a send queue was full`, flood.asked - flood.taken),
          doneRow(`${name}, as fast as it can`, flood.taken, flooded.frames),
          limitRow(name, 'fast', { server: flood, load: { ms: flood.ms, cpuMs: flooded.cpuMs } }),
          doneRow(`${name}, ${perSecond}/s`, steady.asked, frames),
          plain(`${name}, ${perSecond}/s: from the intended time to the arrival`, shown(latency)),
          bounded(`${name}, ${perSecond}/s: 99 % of these`, latency.p99, {
            atMost: LATENCY_MS,
            unit: ' ms',
            digits: 1,
          }),
        ],
      };
    }),
  );
}

/** CPU of a delivery, beside a program that only makes the system calls. Without a `ratio` there is no goal. */
export function floorRows(
  name: string,
  micros: number,
  beside: { readonly floor: number | undefined; readonly ratio: number | undefined },
): readonly Row[] {
  const what = `${name}: CPU of the server a delivery`;
  if (!(micros > 0)) {
    const measured = 'too little to be told from other work: more users or seconds are needed';
    return [{ what, measured, goal: '> 0 µs', met: false, isSpeed: true }];
  }
  if (beside.floor === undefined)
    return [
      plain(what, `${micros.toFixed(1)} µs`),
      ...(beside.ratio === undefined ? [] : [unmeasured(`${name}: × floor`, 'there is no floor')]),
    ];
  return [
    plain(what, `${micros.toFixed(1)} µs; floor ${beside.floor.toFixed(1)} µs`),
    bounded(`${name}: × floor`, micros / beside.floor, {
      ...(beside.ratio === undefined ? {} : { atMost: beside.ratio }),
      ...{ unit: '', digits: 2 },
    }),
  ];
}
