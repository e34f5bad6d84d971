import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Child, run, startChild } from './child.ts';
import { eventually, freePort, waitForPort } from './ports.ts';
import { type RedisServer, startRedis } from './redis.ts';
import { findRedis } from './redis-binaries.ts';

/** A Redis with several processes, seen through its present master. */
export interface RedisDeployment {
  /** The value for `REDIS_URL`. */
  readonly url: string;
  /** The part of the URL that must not appear in a log. */
  readonly secrets: readonly string[];
  /** The prefix of every key. */
  readonly prefix: string;
  /** redis-cli on the present master. */
  cli(...args: string[]): Promise<string>;
  /** The present master. */
  master(): Promise<RedisServer>;
  /** Resolves when a server other than `old` is the master. */
  promoted(old: RedisServer): Promise<RedisServer>;
  /** Makes a former master a replica of the present one, and waits until it has its data. */
  rejoin(server: RedisServer): Promise<void>;
  /** Requests a failover while the master works. */
  switchOver(): Promise<void>;
  stop(): Promise<void>;
}

const NAME = 'lingxi-test';
const PASSWORD = 'of:the@master';
const SENTINEL_PASSWORD = 'of the sentinels';
const SENTINELS = 3;
/** On a busy machine, a master that works may be silent for more than a second. */
const DOWN_AFTER_MS = 2_000;
const READY_TIMEOUT_MS = 20_000;
const AUTH = ['--no-auth-warning', '-a', PASSWORD];

/** A master waits 5 s for further replicas before it sends its data. */
export const SYNC_AT_ONCE = ['--repl-diskless-sync-delay', '0'];

/** A master, a replica and three Sentinels, each with a password. */
export async function startRedisSentinels(): Promise<RedisDeployment> {
  const auth = ['--requirepass', PASSWORD, '--masterauth', PASSWORD, ...SYNC_AT_ONCE];
  const first = await startRedis({ args: auth });
  const second = await startRedis({ args: [...auth, '--replicaof', `127.0.0.1 ${first.port}`] });
  const servers = [first, second];
  await linkedUp((...args) => second.cli(...AUTH, ...args));
  const sentinels = await Promise.all(Array.from({ length: SENTINELS }, () => startSentinel(first.port)));
  await Promise.all(sentinels.map(seesAll));
  /** From the Sentinel with the newest failover: the others report the former master for up to 2 s. */
  const master = async (): Promise<RedisServer> => {
    const views = await Promise.all(sentinels.map(viewOf));
    const [newest] = views.toSorted((left, right) => right.epoch - left.epoch);
    const found = servers.find(({ port }) => newest?.address.endsWith(`\n${port}`));
    if (found === undefined) throw new Error(`no master: ${JSON.stringify(views)}`);
    return found;
  };
  const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',');
  return {
    url:
      `redis+sentinel://:${encodeURIComponent(PASSWORD)}@${hosts}/${NAME}/1` +
      `?sentinelPassword=${encodeURIComponent(SENTINEL_PASSWORD)}`,
    secrets: [PASSWORD, SENTINEL_PASSWORD].flatMap((text) => [text, encodeURIComponent(text)]),
    prefix: '',
    cli: async (...args) => (await master()).cli(...AUTH, '-n', '1', ...args),
    master,
    promoted: (old) =>
      eventually(
        async () => {
          const found = await master();
          if (found === old) throw new Error(`the master is still ${old.url}`);
          return found;
        },
        { timeoutMs: READY_TIMEOUT_MS },
      ),
    async rejoin(server) {
      // The Sentinels would do the same, but later.
      await server.cli(...AUTH, 'REPLICAOF', '127.0.0.1', String((await master()).port));
      await linkedUp((...args) => server.cli(...AUTH, ...args));
    },
    async switchOver() {
      await sentinels[0]?.cli('SENTINEL', 'failover', NAME);
    },
    async stop() {
      await Promise.all(sentinels.map((sentinel) => sentinel.stop()));
      await Promise.all(servers.map((server) => server.stop()));
    },
  };
}

/** Resolves once this replica has the data of its master and hears of what is new. */
export async function linkedUp(cli: RedisServer['cli']): Promise<void> {
  await eventually(
    async () => {
      const replication = await cli('INFO', 'replication');
      if (!replication.includes('master_link_status:up')) throw new Error(replication);
    },
    { timeoutMs: READY_TIMEOUT_MS },
  );
}

interface Sentinel {
  readonly port: number;
  cli(...args: string[]): Promise<string>;
  stop(): Promise<void>;
}

async function startSentinel(master: number): Promise<Sentinel> {
  const binaries = await findRedis();
  const dir = mkdtempSync(join(tmpdir(), 'lingxi-sentinel-'));
  const port = await freePort();
  const file = join(dir, 'sentinel.conf');
  writeFileSync(
    file,
    [
      ...[`port ${port}`, 'bind 127.0.0.1', `dir ${dir}`, `requirepass "${SENTINEL_PASSWORD}"`],
      ...[`sentinel monitor ${NAME} 127.0.0.1 ${master} 2`, `sentinel auth-pass ${NAME} ${PASSWORD}`],
      `sentinel down-after-milliseconds ${NAME} ${DOWN_AFTER_MS}`,
      `sentinel failover-timeout ${NAME} 1500`,
      `sentinel sentinel-pass "${SENTINEL_PASSWORD}"`,
    ].join('\n'),
  );
  const child: Child = startChild(binaries.server, [file, '--sentinel'], {
    env: binaries.env,
    removeOnDeath: dir,
  });
  await waitForPort(port, READY_TIMEOUT_MS, () =>
    child.exit() === undefined ? undefined : `the Sentinel did not start: ${child.output()}`,
  );
  return {
    port,
    async cli(...args) {
      const where = ['-h', '127.0.0.1', '-p', String(port), '--no-auth-warning', '-a', SENTINEL_PASSWORD];
      return (await run(binaries.cli, [...where, ...args], { env: binaries.env })).trimEnd();
    },
    async stop() {
      child.signalGroup('SIGKILL');
      await child.exited;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** The master that a Sentinel names, and by which failover. If the view changes meanwhile, it never seems newer than it is. */
async function viewOf(sentinel: Sentinel): Promise<{ readonly epoch: number; readonly address: string }> {
  const epoch = Number(fieldOf(await sentinel.cli('SENTINEL', 'master', NAME), 'config-epoch'));
  return { epoch, address: await sentinel.cli('SENTINEL', 'get-master-addr-by-name', NAME) };
}

function fieldOf(reply: string, field: string): string | undefined {
  const lines = reply.split('\n');
  return lines[lines.indexOf(field) + 1];
}

/** A failover needs the others and the replica: each Sentinel finds them by what the others publish. */
async function seesAll(sentinel: Sentinel): Promise<void> {
  await eventually(
    async () => {
      const reply = await sentinel.cli('SENTINEL', 'master', NAME);
      const [others, replicas] = ['num-other-sentinels', 'num-slaves'].map((field) => fieldOf(reply, field));
      if (Number(others) !== SENTINELS - 1 || Number(replicas) !== 1) throw new Error(reply);
    },
    { timeoutMs: READY_TIMEOUT_MS },
  );
}
