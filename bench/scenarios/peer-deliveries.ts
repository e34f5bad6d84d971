import { sleep } from '../../test/support/ports.ts';
import { limitOf } from '../limit.ts';
import { type Cell, plain, type Row, type Subject } from '../report/rows.ts';
import { withPeer } from '../servers/peers.ts';
import { withLoad } from '../servers/processes.ts';
import type { Settings } from '../settings.ts';

const AT_ONCE = 500;
const WARM_UP_SECONDS = 0.5;
const ARRIVAL_MS = 500;

export interface PeerDeliveries {
  readonly cells: readonly Cell[];
  readonly rows: readonly Row[];
  /** CPU in µs per delivery. */
  readonly micros: ReadonlyMap<Subject, number>;
}

/** The cost of a delivery on the bare servers: to random users, or as broadcasts every `everyMs`. */
export async function measurePeerDeliveries(
  settings: Settings,
  plan: { readonly name: string; readonly line: string; readonly users: number; readonly everyMs?: number },
): Promise<PeerDeliveries> {
  const { users: count, everyMs, line, name } = plan;
  const micros = new Map<Subject, number>();
  const rows: Row[] = [];
  for (const peer of settings.peers)
    await withPeer(peer, (server) =>
      withLoad(async (load) => {
        const { port } = await server.call('port', {});
        const engine = peer === 'socket.io' ? 'socket.io' : 'lingxi';
        await load.call('open', { port, secret: 'none', first: 1, count, atOnce: AT_ONCE, engine });
        const send = (seconds: number) =>
          everyMs === undefined
            ? server.call('random', { seconds })
            : server.call('broadcast', {
                times: Math.max(1, Math.floor((seconds * 1000) / everyMs)),
                everyMs,
              });
        await send(WARM_UP_SECONDS);
        await sleep(ARRIVAL_MS);
        await load.call('forget');
        const { cpuMs, ms, sent } = await send(settings.sendingSeconds);
        await sleep(ARRIVAL_MS);
        const { frames, cpuMs: loadCpuMs } = await load.call('received');
        micros.set(peer, (cpuMs * 1000) / sent);
        const what = `${name} ${peer}: messages that arrived`;
        rows.push(
          { what, measured: `${frames} of ${sent}`, goal: '>= 99 %', met: frames >= sent * 0.99 },
          plain(
            `${name} ${peer}: the limit was`,
            limitOf(everyMs === undefined ? 'fast' : 'pace', { ms, cpuMs }, { ms, cpuMs: loadCpuMs }),
          ),
        );
      }),
    );
  const cells = [...micros].map(([subject, value]) => ({ line, subject, value, unit: 'µs', digits: 1 }));
  return { cells, rows, micros };
}
