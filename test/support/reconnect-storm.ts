import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'vitest';
import { REPOSITORY } from './cache.ts';
import { freshUsers } from './crowd.ts';
import { sleep } from './ports.ts';
import { KNOWN_USERS } from './stores.ts';
import { BUN_AND_NODE, type Cluster, startCluster } from './two-nodes.ts';
import type { Client } from './ws-client.ts';

const TIMEOUT_MS = 10_000;
/** Largest number of clients in one process, because a process has a limited number of descriptors. */
const CLIENTS_OF_A_PROCESS = 10_000;
/** Number of connections on each node that stay open in the storm, and the interval of their pings. */
const WATCHERS = 10;
const PING_INTERVAL_MS = 100;
/** Users besides those of the storm. */
const FIRST_WATCHER = KNOWN_USERS + 1;

interface Wave {
  readonly periods: Readonly<Record<string, string>>;
  /** When each user got the `welcome`, wall clock. */
  readonly welcomes: Readonly<Record<string, number>>;
  readonly refusals: Readonly<Record<string, number>>;
  readonly lastMs: number;
}

export interface StormReport {
  /** From the cut to the last `welcome`. */
  readonly allBackMs: number;
  /** Users who lost their period. */
  readonly lost: readonly number[];
  /** Those of them whose next connection was accepted within the timeout of their last sign of life. Rule HB1 forbids that. */
  readonly lostInTime: readonly number[];
  /** Refused or failed attempts by status or cause. */
  readonly refusals: Readonly<Record<string, number>>;
  /** 99th percentile of the time from a ping's due time to its pong, on connections that stayed open, by node. */
  readonly pongP99Ms: readonly number[];
}

/** Users on two nodes who lose all their connections at once and reconnect, each to the other node. */
export class ReconnectStorm {
  readonly cluster: Cluster;
  readonly users: readonly number[];
  readonly #processes: readonly ChildProcess[];
  #periods: Readonly<Record<string, string>> = {};

  private constructor(cluster: Cluster, users: readonly number[]) {
    this.cluster = cluster;
    this.users = users;
    const count = Math.ceil(users.length / CLIENTS_OF_A_PROCESS);
    this.#processes = Array.from({ length: count }, () =>
      fork(join(REPOSITORY, 'test/support/storm-clients.mjs'), [], { execArgv: [] }),
    );
  }

  static async start(users: number): Promise<ReconnectStorm> {
    const cluster = await startCluster({ nodes: BUN_AND_NODE, timeoutMs: TIMEOUT_MS });
    await cluster.postgres.query('INSERT INTO users (id) SELECT generate_series($1::int, $2::int)', [
      FIRST_WATCHER,
      FIRST_WATCHER + WATCHERS * BUN_AND_NODE.length - 1,
    ]);
    return new ReconnectStorm(cluster, freshUsers(users));
  }

  /** All users log in, at a slow pace. */
  async login(withinMs: number): Promise<void> {
    const { periods } = await this.#connect(0, withinMs);
    expect(Object.keys(periods)).toHaveLength(this.users.length);
    this.#periods = periods;
  }

  /** Cuts all connections; the clients reconnect over `withinMs`. */
  async break(withinMs: number): Promise<StormReport> {
    const watches = await Promise.all(
      this.cluster.nodes.map((node, place) =>
        Watch.open((index) => node.view.v1(FIRST_WATCHER + place * WATCHERS + index)),
      ),
    );
    const cuts = await Promise.all(
      this.#processes.map((process) =>
        ask<{ lastSigns: Readonly<Record<string, number>> }>(process, { kind: 'cut' }),
      ),
    );
    const lastSigns: Readonly<Record<string, number>> = Object.assign(
      {},
      ...cuts.map((cut) => cut.lastSigns),
    );
    const { periods, welcomes, refusals, lastMs } = await this.#connect(1, withinMs);
    const pongP99Ms = watches.map((watch) => watch.stop());
    const lost = this.users.filter((user) => periods[user] !== this.#periods[user]);
    const silentMs = (user: number): number =>
      (welcomes[user] ?? Number.NaN) - (lastSigns[user] ?? Number.NaN);
    const lostInTime = lost.filter((user) => !(silentMs(user) >= TIMEOUT_MS));
    return { allBackMs: Math.round(lastMs), lost, lostInTime, refusals, pongP99Ms };
  }

  async stop(): Promise<void> {
    for (const process of this.#processes) process.disconnect();
    await this.cluster.stop();
  }

  /** `shift` chooses the node: another value sends each user to the other node. */
  async #connect(shift: number, withinMs: number): Promise<Wave> {
    const clients = this.users.map((user, index) => {
      const { gateway } = this.cluster.node((index + shift) % this.cluster.nodes.length);
      return { user, url: gateway.wsUrl, token: gateway.token(user) };
    });
    const share = Math.ceil(clients.length / this.#processes.length);
    const waves = await Promise.all(
      this.#processes.map((process, index) =>
        ask<Wave>(process, {
          kind: 'connect',
          clients: clients.slice(index * share, (index + 1) * share),
          withinMs,
        }),
      ),
    );
    return {
      periods: Object.assign({}, ...waves.map(({ periods }) => periods)) as Wave['periods'],
      welcomes: Object.assign({}, ...waves.map(({ welcomes }) => welcomes)) as Wave['welcomes'],
      refusals: waves.reduce<Record<string, number>>((sum, wave) => {
        for (const [cause, count] of Object.entries(wave.refusals)) sum[cause] = (sum[cause] ?? 0) + count;
        return sum;
      }, {}),
      lastMs: Math.max(...waves.map((wave) => wave.lastMs)),
    };
  }
}

/** Open connections of one node that measure its response time. */
class Watch {
  readonly #clients: readonly Client[];
  readonly #delays: number[] = [];
  readonly #done: Promise<unknown>;
  #isStopped = false;

  private constructor(clients: readonly Client[]) {
    this.#clients = clients;
    this.#done = Promise.all(clients.map((client, index) => this.#watch(client, index)));
  }

  static async open(connect: (index: number) => Promise<Client>): Promise<Watch> {
    return new Watch(await Promise.all(Array.from({ length: WATCHERS }, (_, index) => connect(index))));
  }

  stop(): number {
    this.#isStopped = true;
    void this.#done;
    for (const { socket } of this.#clients) expect(socket.readyState).toBe(socket.OPEN);
    for (const client of this.#clients) client.terminate();
    const sorted = this.#delays.toSorted((a, b) => a - b);
    return Math.round(sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN);
  }

  async #watch(client: Client, index: number): Promise<void> {
    let dueAt = performance.now() + (PING_INTERVAL_MS * index) / WATCHERS;
    for (let turn = 0; !this.#isStopped; turn += 1) {
      await sleep(Math.max(0, dueAt - performance.now()));
      client.send({ type: 'ping', timestamp: turn });
      await client.next('pong', 60_000).catch(() => undefined);
      // From the due time of the ping: a slow answer must not hide the later pings.
      this.#delays.push(performance.now() - dueAt);
      dueAt += PING_INTERVAL_MS;
    }
  }
}

function ask<Answer>(process: ChildProcess, message: object): Promise<Answer> {
  return new Promise((resolve, reject) => {
    process.once('message', (answer) => resolve(answer as Answer));
    process.once('exit', (code) => reject(new Error(`the clients ended with ${String(code)}`)));
    process.send(message);
  });
}
