import { readFileSync } from 'node:fs';
import type { Gateway, Runtime, Stores } from '../../test/support/gateway-process.ts';
import { sleep } from '../../test/support/ports.ts';
import { requireDescriptors } from '../descriptors.ts';
import { limitOf } from '../limit.ts';
import type { Opening } from '../load/load-sockets.ts';
import {
  bounded,
  type Cell,
  type Outcome,
  plain,
  type Row,
  type Subject,
  unmeasured,
} from '../report/rows.ts';
import { withPeer } from '../servers/peers.ts';
import {
  firstLogin,
  LONG_TIMEOUT,
  type Usage,
  usageOf,
  withGateway,
  withLoad,
  withStores,
} from '../servers/processes.ts';
import type { Settings } from '../settings.ts';

/** The interval in the published figures of other servers: each client sends something every 25 s. */
const SELDOM_S = 25;
const SELDOM_ENV = { LINGXI_HEARTBEAT_TIMEOUT_MS: '60000', LINGXI_PING_INTERVAL_MS: '25000' };
const AT_ONCE = 500;
const REST_MS = 500;
/** After this, an engine has returned the memory of its start. */
const SETTLED_AFTER_MS = 1_000;
/** By then each engine has collected the garbage of the storm: Bun does so about ten seconds after it. */
const IDLE_MS = 3_000;
const MEGABYTE = 1_048_576;
const KILOBYTE = 1_024;

interface Server {
  readonly port: number;
  readonly secret: string;
  readonly engine?: Opening['engine'];
  usage(): Promise<Usage>;
}

interface Held {
  readonly opensPerSecond: number;
  readonly openCpuMs: number;
  readonly pingCpuMs: number;
  readonly asked: number;
  readonly done: number;
  readonly baseBytes: number;
  readonly bytes: number;
  readonly kernelBytes: number;
  readonly limit: string;
}

type Everybody = ReadonlyMap<Subject, { readonly often: Held; readonly seldom: Held | undefined }>;

/** B1, B1r and B2: open connections that ping, on every server. Measures their cost and their memory. */
export async function measureHold(settings: Settings): Promise<Outcome> {
  const users = settings.users(10_000);
  requireDescriptors(users);
  const all = new Map<Subject, { readonly often: Held; readonly seldom: Held | undefined }>();
  for (const peer of settings.peers)
    all.set(
      peer,
      await withPeer(peer, async (helper) => {
        const { port } = await helper.call('port', {});
        return holdBoth(settings, {
          ...{ port, secret: 'none', engine: peer === 'socket.io' ? 'socket.io' : 'lingxi' },
          async usage() {
            const { totalCpuMs: cpuMs, rssBytes, received } = await helper.call('port', {});
            return { cpuMs, rssBytes, received };
          },
        });
      }),
    );
  for (const runtime of settings.runtimes) {
    all.set(`lingxi-${runtime}`, await holdLingxi(settings, runtime, 'embedded'));
    if (runtime === settings.runtime && !settings.isQuick)
      all.set(`lingxi-${runtime}-redis`, await withStores((stores) => holdLingxi(settings, runtime, stores)));
  }
  return { rows: rowsOf(settings, all), cells: cellsOf(settings, all) };
}

/** A bare server has no timeout, so one start serves both intervals. */
async function holdBoth(settings: Settings, server: Server) {
  return withLoad(async (load) => {
    const opened = await open(settings, server, load);
    const often = await ping(settings, server, { load, everySeconds: 1, opened });
    const seldom = settings.isQuick
      ? undefined
      : await ping(settings, server, { load, everySeconds: SELDOM_S, opened });
    return { often, seldom };
  });
}

async function holdLingxi(settings: Settings, runtime: Runtime, stores: Stores) {
  const hold = (everySeconds: number, env: Readonly<Record<string, string>>): Promise<Held> =>
    withGateway({ runtime, stores, env }, (gateway) =>
      withLoad(async (load) => {
        const server = serverOf(gateway);
        // A Redis that has just started accepts no logins for 2 s.
        if (stores !== 'embedded') await firstLogin(load, gateway, settings.users(10_000) + 1);
        const opened = await open(settings, server, load);
        return ping(settings, server, { load, everySeconds, opened });
      }),
    );
  const often = await hold(1, LONG_TIMEOUT);
  return { often, seldom: settings.isQuick ? undefined : await hold(SELDOM_S, SELDOM_ENV) };
}

function serverOf(gateway: Gateway): Server {
  return { port: gateway.port(), secret: gateway.jwtSecret, usage: () => usageOf(gateway) };
}

type Load = Parameters<Parameters<typeof withLoad>[0]>[0];

async function open(settings: Settings, server: Server, load: Load) {
  const count = settings.users(10_000);
  await sleep(SETTLED_AFTER_MS);
  const before = await server.usage();
  const kernelBefore = kernelBytes();
  const { port, secret, engine } = server;
  const opened = await load.call('open', {
    ...{ port, secret, first: 1, count, atOnce: AT_ONCE },
    ...(engine === undefined ? {} : { engine }),
  });
  const afterOpening = await server.usage();
  await sleep(REST_MS);
  return {
    opensPerSecond: (count * 1000) / opened.ms,
    openCpuMs: afterOpening.cpuMs - before.cpuMs,
    baseBytes: before.rssBytes,
    // Both ends of each connection are on this machine.
    kernelBytes: (kernelBytes() - kernelBefore) / count / 2,
  };
}

async function ping(
  settings: Settings,
  server: Server,
  how: {
    readonly load: Load;
    readonly everySeconds: number;
    readonly opened: Awaited<ReturnType<typeof open>>;
  },
): Promise<Held> {
  const { load, everySeconds, opened } = how;
  const seconds = settings.holdSeconds;
  await load.call('forget');
  const before = await server.usage();
  const { sent: asked } = await load.call('beat', {
    perSecond: settings.users(10_000) / everySeconds,
    seconds,
  });
  await sleep(REST_MS);
  const after = await server.usage();
  const spent = await load.call('received');
  const pingCpuMs = after.cpuMs - before.cpuMs;
  const limit = limitOf(
    'pace',
    { ms: seconds * 1000, cpuMs: pingCpuMs },
    { ms: seconds * 1000, cpuMs: spent.cpuMs },
  );
  await sleep(IDLE_MS);
  const bytes = ((await server.usage()).rssBytes - opened.baseBytes) / settings.users(10_000);
  return { ...opened, bytes, pingCpuMs, asked, done: after.received - before.received, limit };
}

function cellsOf(settings: Settings, all: Everybody): readonly Cell[] {
  const count = settings.users(10_000);
  return [...all].flatMap(([subject, { often, seldom }]) => [
    { line: `B1 opens/s, ${count} connections`, subject, value: often.opensPerSecond, unit: '/s' },
    { line: 'B1 CPU to open them', subject, value: often.openCpuMs / 1000, unit: 's', digits: 2 },
    {
      ...{ line: `B1 CPU for ${settings.holdSeconds} s, one ping a second each`, subject },
      ...{ value: often.pingCpuMs / 1000, unit: 's', digits: 2 },
    },
    ...(seldom === undefined
      ? []
      : [
          {
            ...{ line: `B1 CPU for ${settings.holdSeconds} s, one ping in ${SELDOM_S} s each`, subject },
            ...{ value: seldom.pingCpuMs / 1000, unit: 's', digits: 3 },
          },
        ]),
    { line: 'B2 resident memory before', subject, value: often.baseBytes / MEGABYTE, unit: 'MB', digits: 0 },
    {
      ...{ line: 'B2 resident memory a connection', subject },
      ...{ value: often.bytes / KILOBYTE, unit: 'KB', digits: 1 },
    },
    ...(seldom === undefined
      ? []
      : [
          {
            ...{ line: `B2 the same, one ping in ${SELDOM_S} s each`, subject },
            ...{ value: seldom.bytes / KILOBYTE, unit: 'KB', digits: 1 },
          },
        ]),
    {
      ...{ line: 'B2 kernel memory a connection', subject },
      ...{ value: often.kernelBytes / KILOBYTE, unit: 'KB', digits: 1 },
    },
  ]);
}

function rowsOf(settings: Settings, all: Everybody): readonly Row[] {
  const cpu = (subject: Subject): number | undefined => all.get(subject)?.often.pingCpuMs;
  const ratio = (
    what: string,
    [above, below]: readonly [Subject, Subject],
    atMost: number,
  ): readonly Row[] => {
    const [top, base] = [cpu(above), cpu(below)];
    if (top === undefined) return [];
    // A quick run has few peers.
    if (base === undefined && settings.isQuick) return [];
    if (base === undefined) return [unmeasured(what, `there is no ${below}`)];
    return [bounded(what, top / base, { atMost, unit: '', digits: 2 })];
  };
  const memory = (subject: Subject, atMost: number): readonly Row[] => {
    const both = all.get(subject);
    if (both === undefined) return [];
    // Idle connections ping seldom. Pings leave garbage, which an engine keeps for a while.
    const held = both.seldom ?? both.often;
    const kilobytes = { atMost, unit: ' KB', digits: 1 };
    return [
      bounded(`B2 ${subject}: resident memory of an idle connection`, held.bytes / KILOBYTE, kilobytes),
      bounded(`B2 ${subject}: resident memory before`, held.baseBytes / MEGABYTE, {
        atMost: 80,
        unit: ' MB',
      }),
    ];
  };
  const redis: Subject = `lingxi-${settings.runtime}-redis`;
  return [
    ...ratio('B1 lingxi-bun: CPU of pings, × floor', ['lingxi-bun', 'floor'], 2),
    ...ratio('B1 lingxi-bun: CPU of pings, × Socket.IO', ['lingxi-bun', 'socket.io'], 0.2),
    ...ratio('B1 lingxi-node: CPU of pings, × ws', ['lingxi-node', 'ws'], 1.2),
    ...ratio(`B1r ${redis}: CPU of pings, × embedded`, [redis, `lingxi-${settings.runtime}`], 1.15),
    ...memory('lingxi-bun', 4),
    ...memory('lingxi-node', 14),
    ...[...all].flatMap(([subject, { often }]) => [
      {
        ...{ what: `B1 ${subject}: pings that were counted`, measured: `${often.done} of ${often.asked}` },
        ...{ goal: '>= 99 %', met: often.done >= often.asked * 0.99 },
      },
      plain(`B1 ${subject}: the limit was`, often.limit),
    ]),
  ];
}

/** Memory of the kernel's objects on the whole machine; NaN on a system without /proc. */
function kernelBytes(): number {
  try {
    const [, kilobytes] = /^Slab: +(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8')) ?? [];
    return Number(kilobytes ?? Number.NaN) * KILOBYTE;
  } catch {
    return Number.NaN;
  }
}
