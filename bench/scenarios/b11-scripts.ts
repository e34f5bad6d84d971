import { atPace } from '../../src/cli/bench/pace.ts';
import type { Claim, PresenceStore } from '../../src/presence/store/port.ts';
import { MAX_BATCH } from '../../src/presence/store/port.ts';
import { sleep } from '../../test/support/ports.ts';
import { grownUp, openRedisStore, takeLease } from '../../test/support/presence-subject.ts';
import { startRedis } from '../../test/support/services.ts';
import { spending } from '../clock.ts';
import { bounded, type Cell, type Outcome, plain, type Row } from '../report/rows.ts';
import type { Settings } from '../settings.ts';

/** A node claims a user with a newer proof when its claim in Redis is 3 s old, and checks every 0.5 s. */
const RENEWAL_MS = 3_250;
const NODES = 10;
const IN_PROGRESS = 3;
const CPU_SHARE = 0.1;
const BYTES = 1_024;
const TIMEOUT_MS = 600_000;
const LAST_ANSWERS_MS = 1_000;
const STEP_MS = 20;

interface Redis {
  cli(...args: string[]): Promise<string>;
}

/** B11: users held in Redis by the product's own scripts, without connections. First a tenth of them, then all. */
export async function measureScripts(settings: Settings): Promise<Outcome> {
  const redis = await startRedis();
  const nodes: PresenceStore[] = [];
  try {
    for (let index = 0; index < NODES; index += 1) {
      const node = await openRedisStore(redis, { node: `node-${index}` });
      await takeLease(node);
      nodes.push(node);
    }
    await grownUp(nodes[0] as PresenceStore);
    const rows: Row[] = [];
    const cells: Cell[] = [];
    const empty = await memoryOf(redis);
    let held = 0;
    for (const users of [settings.heldUsers / 10, settings.heldUsers]) {
      await login(nodes, held + 1, users);
      held = users;
      const bytes = ((await memoryOf(redis)) - empty) / users;
      const share = await renew(redis, nodes, { users, seconds: settings.sendingSeconds + 2 });
      const isAll = users === settings.heldUsers;
      const name = `B11 ${users} users`;
      const bounds = isAll
        ? { cpu: { atMost: CPU_SHARE }, bytes: { atMost: BYTES } }
        : { cpu: {}, bytes: {} };
      rows.push(
        bounded(`${name}: Redis, share of a core`, share.redis, { ...bounds.cpu, unit: '', digits: 3 }),
        bounded(`${name}: Redis, memory a user`, bytes, { ...bounds.bytes, unit: ' bytes' }),
        {
          ...{ what: `${name}: renewals that were made`, measured: `${share.done} of ${share.asked}` },
          ...{ goal: '>= 99 %', met: share.done >= share.asked * 0.99 },
        },
        plain(`${name}: the load used`, `${Math.round(share.load * 100)} % of a core`),
      );
      const subject = 'lingxi-bun-redis' as const;
      const line = (what: string): string => `B11 Redis, ${users} users held: ${what}`;
      cells.push(
        { line: line('share of a core'), subject, value: share.redis * 100, unit: '%', digits: 1 },
        { line: line('memory a user'), subject, value: bytes, unit: 'bytes' },
      );
    }
    return { rows, cells };
  } finally {
    await Promise.all(nodes.map((node) => node.close()));
    await redis.stop();
  }
}

/** Batches belong to the nodes in turn. */
function batchOf(index: number, last: number, how: { readonly mode: Claim['mode']; readonly rev: number }) {
  const from = index * MAX_BATCH + 1;
  return Array.from({ length: Math.min(MAX_BATCH, last - from + 1) }, (_, place) =>
    claimOf(from + place, how.mode, how.rev),
  );
}

async function login(nodes: readonly PresenceStore[], first: number, last: number): Promise<void> {
  const indexes = Array.from({ length: Math.ceil((last - first + 1) / MAX_BATCH) }, (_, place) => place);
  const begin = Math.floor((first - 1) / MAX_BATCH);
  for (let start = 0; start < indexes.length; start += nodes.length)
    await Promise.all(
      indexes.slice(start, start + nodes.length).map(async (place) => {
        const node = nodes[(begin + place) % nodes.length] as PresenceStore;
        const batch = batchOf(begin + place, last, { mode: 'socket', rev: 1 });
        const answers = await node.claim(batch);
        const opened = answers.flatMap((answer, index) =>
          answer.kind === 'opened' ? [{ userId: batch[index]?.userId ?? 0, period: answer.period }] : [],
        );
        if (opened.length < batch.length)
          throw new Error(`Redis opened ${opened.length} of ${batch.length} periods: ${answers[0]?.kind}`);
        await node.record(opened);
      }),
    );
}

/** Renews all users as a node does, at an even pace, and returns the share of a core that Redis used. */
async function renew(
  redis: Redis,
  nodes: readonly PresenceStore[],
  plan: { readonly users: number; readonly seconds: number },
): Promise<{ readonly redis: number; readonly load: number; readonly asked: number; readonly done: number }> {
  const { users, seconds } = plan;
  // In the order of the logins: batches of 500, from the nodes in turn.
  const batches = Math.ceil(users / MAX_BATCH);
  const revs = users;
  const perSecond = batches / (RENEWAL_MS / 1000);
  let [done, inProgress] = [0, 0];
  let failure: Error | undefined;
  let isOver = false;
  const waiting: number[] = [];
  const next = async (): Promise<void> => {
    for (let index = waiting.shift(); index !== undefined && !isOver; index = waiting.shift()) {
      const node = nodes[(index % batches) % nodes.length] as PresenceStore;
      const rev = 2 + revs + Math.floor(index / batches);
      const batch = batchOf(index % batches, users, { mode: 'state', rev });
      const answers = await node.claim(batch);
      if (answers.every(({ kind }) => kind === 'held')) done += 1;
      else throw new Error(`a renewal was answered ${answers.find(({ kind }) => kind !== 'held')?.kind}`);
    }
    inProgress -= 1;
  };
  const spent = spending();
  const before = await cpuSecondsOf(redis);
  const asked = await atPace(perSecond, seconds, (_, index) => {
    if (failure !== undefined) throw failure;
    waiting.push(index);
    if (inProgress >= IN_PROGRESS) return;
    inProgress += 1;
    next().catch((error: Error) => {
      failure = error;
    });
  });
  // Late calls are not awaited: they are missing from the number of finished calls.
  const until = performance.now() + LAST_ANSWERS_MS;
  while (failure === undefined && inProgress > 0 && performance.now() < until) await sleep(STEP_MS);
  if (failure !== undefined) throw failure;
  isOver = true;
  const used = (await cpuSecondsOf(redis)) - before;
  const { ms, cpuMs } = spent();
  return { redis: (used * 1000) / ms, load: cpuMs / ms, asked, done };
}

function claimOf(userId: number, mode: Claim['mode'], rev: number): Claim {
  return {
    ...{ userId, mode, rev, sockets: 1, rivals: 0, socketMs: TIMEOUT_MS, httpMs: 0, proofAgeMs: 0 },
    ...{ untilMs: TIMEOUT_MS, epoch: 0, floor: 0, period: 0, loginTime: 0, username: '', ip: '192.0.2.1' },
    ...{ cause: '', proofMark: `${rev}`, tokenGroups: '', serviceGroups: '' },
  };
}

async function memoryOf(redis: Redis): Promise<number> {
  return numberIn(await redis.cli('INFO', 'memory'), 'used_memory');
}

async function cpuSecondsOf(redis: Redis): Promise<number> {
  const text = await redis.cli('INFO', 'cpu');
  return numberIn(text, 'used_cpu_user') + numberIn(text, 'used_cpu_sys');
}

function numberIn(info: string, name: string): number {
  const [, value] = new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info) ?? [];
  return Number(value ?? Number.NaN);
}
