import type { Runtime } from '../../test/support/gateway-process.ts';
import { sleep } from '../../test/support/ports.ts';
import { requireDescriptors } from '../descriptors.ts';
import { doneRow, limitRow } from '../limit.ts';
import { bounded, joined, type Outcome, plain, type Subject, shown } from '../report/rows.ts';
import { withLibrary, withLoad } from '../servers/processes.ts';
import type { Settings } from '../settings.ts';
import { floorRows } from './b4-to-users.ts';
import { measurePeerDeliveries } from './peer-deliveries.ts';

const AT_ONCE = 500;
const CONNECTIONS = 10_000;
/** Users in a separate load process, which is hardly busy with the broadcast: their heartbeats and messages are timed. */
const OTHERS = 50;
const OTHERS_PER_SECOND = 200;
const EVERY_MS = 500;
const FLOOR_RATIO = 1.25;
const DELAY_MS = 20;
const ARRIVAL_MS = 1_000;

const LINE = 'B5 CPU of a message to everybody, each receiver';

/** B5: broadcasts, and the delay of other work during them; beside the bare servers. */
export async function measureBroadcast(settings: Settings): Promise<Outcome> {
  const users = settings.users(CONNECTIONS);
  requireDescriptors(users, OTHERS);
  const peers = await measurePeerDeliveries(settings, { name: 'B5', line: LINE, users, everyMs: EVERY_MS });
  const outcomes: Outcome[] = [];
  for (const runtime of settings.runtimes)
    outcomes.push(await measureLibrary(settings, runtime, peers.micros.get('floor')));
  return joined([peers, ...outcomes]);
}

function measureLibrary(settings: Settings, runtime: Runtime, floor: number | undefined): Promise<Outcome> {
  const { sendingSeconds: seconds } = settings;
  const users = settings.users(CONNECTIONS);
  const times = Math.max(1, Math.floor((seconds * 1000) / EVERY_MS));
  return withLibrary(runtime, (library, server) =>
    withLoad((receivers) =>
      withLoad(async (timed) => {
        await receivers.call('open', { ...server, first: 1, count: users, atOnce: AT_ONCE });
        const first = users + 1;
        await timed.call('open', { ...server, first, count: OTHERS, atOnce: OTHERS, protocol: 'lingxi.v1' });
        const run = async (broadcasts: number, runSeconds = seconds) => {
          await Promise.all([receivers.call('forget'), timed.call('forget')]);
          const others = { first, users: OTHERS, perSecond: OTHERS_PER_SECOND };
          const [sent, pongs] = await Promise.all([
            library.call('broadcast', { times: broadcasts, everyMs: EVERY_MS, seconds: runSeconds, others }),
            timed.call('ping', { perSecond: OTHERS_PER_SECOND, seconds: runSeconds }),
          ]);
          await sleep(ARRIVAL_MS);
          const [many, few] = await Promise.all([receivers.call('received'), timed.call('received')]);
          return { sent, pongs, arrived: many.frames, load: many, sends: few.latency };
        };
        // Not counted: in this time the runtime compiles hot code.
        await run(2, 1);
        const without = await run(0);
        const during = await run(times);
        const name = `B5 ${runtime}, ${users + OTHERS} connections`;
        const micros = ((during.sent.cpuMs - without.sent.cpuMs) * 1000) / during.sent.taken;
        const delays = { atMost: DELAY_MS, unit: ' ms', digits: 1 };
        const subject: Subject = `lingxi-${runtime}`;
        const rows = [
          ...floorRows(name, micros, { floor, ratio: runtime === 'bun' ? FLOOR_RATIO : undefined }),
          doneRow(`${name}, ${times} broadcasts`, times * users, during.arrived),
          limitRow(name, 'pace', {
            ...{ server: during.sent, load: { ms: during.sent.ms, cpuMs: during.load.cpuMs } },
          }),
          plain(`${name}: heartbeats, without broadcasts`, shown(without.pongs)),
          plain(`${name}: heartbeats`, shown(during.pongs)),
          bounded(`${name}: the latest heartbeat`, during.pongs.max, delays),
          plain(`${name}: other sends, without broadcasts`, shown(without.sends)),
          plain(`${name}: other sends`, shown(during.sends)),
          bounded(`${name}: the latest of the other sends`, during.sends.max, delays),
        ];
        const cells = [
          { line: LINE, subject, value: micros, unit: 'µs', digits: 1 },
          { line: 'B5 latest heartbeat meanwhile', subject, value: during.pongs.max, unit: 'ms', digits: 1 },
        ];
        const curves = [
          {
            id: `heartbeats-${runtime}`,
            title: `Heartbeats during broadcasts on ${runtime}`,
            summary: during.pongs,
          },
        ];
        return { rows, cells, curves };
      }),
    ),
  );
}
