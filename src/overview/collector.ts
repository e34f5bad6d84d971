import type { NodeInfo } from '../cluster/nodes.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import { logInternalError } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import type { LiveCounts, LiveNode, LiveQueues, LiveReader, LiveSettlement, NodeCounts } from './api.ts';
import { readCounts } from './node-counts.ts';
import type { Peers } from './peers.ts';
import { Sums } from './sums.ts';

/** Time between two events. */
const INTERVAL_MS = 500;

export interface CollectorOptions {
  readonly node: string;
  readonly version: string;
  readonly runtime: string;
  readonly peers: Peers;
  readonly countsHere: () => NodeCounts;
  readonly usersHere: () => number;
  readonly usersOnline: () => number;
  readonly presenceAvailable: () => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

/** Collects the counts of all nodes, once for all open dashboards, and only while one is open. */
export class Collector {
  readonly #options: CollectorOptions;
  readonly #readers = new Set<LiveReader>();
  readonly #sums = new Sums();
  /** The last gauges that each node reported. */
  readonly #last = new Map<string, NodeCounts>();
  #newest: string | undefined;
  #isCollecting = false;
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(options: CollectorOptions) {
    this.#options = options;
  }

  /** Undefined if the node is stopping. Otherwise the function that ends the reading. */
  open(reader: LiveReader): (() => void) | undefined {
    if (this.#isStopped) return undefined;
    this.#readers.add(reader);
    if (this.#newest !== undefined) reader.take(this.#newest);
    if (!this.#isCollecting && this.#timer === undefined) this.#go();
    return () => this.#close(reader);
  }

  stop(): void {
    this.#isStopped = true;
    for (const reader of [...this.#readers]) {
      this.#close(reader);
      reader.end();
    }
  }

  #close(reader: LiveReader): void {
    this.#readers.delete(reader);
    if (this.#readers.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#newest = undefined;
    this.#last.clear();
    this.#sums.pause();
  }

  #go(): void {
    const { clock, log } = this.#options;
    const began = clock.monotonic();
    this.#isCollecting = true;
    this.#timer = undefined;
    this.#collect()
      .then((counts) => this.#tell(counts))
      .catch((error: unknown) => logInternalError(log, { where: 'background', error }))
      .finally(() => {
        this.#isCollecting = false;
        if (this.#readers.size === 0) return;
        const waitMs = Math.max(0, INTERVAL_MS - (clock.monotonic() - began));
        this.#timer = clock.after(waitMs, () => this.#go());
      });
  }

  #tell(counts: LiveCounts): void {
    if (this.#readers.size === 0) return;
    this.#newest = `event: counts\ndata: ${JSON.stringify(counts)}\n\n`;
    for (const reader of [...this.#readers]) reader.take(this.#newest);
  }

  async #collect(): Promise<LiveCounts> {
    const { node, peers, clock, countsHere } = this.#options;
    const list = await peers.list();
    const others = list.isFresh ? peers.others(list) : [];
    const answers = await Promise.all(
      others.map(
        async (other) => [other, await peers.ask(other, { dashboard: 'counts' }, readCounts)] as const,
      ),
    );
    const said = new Map<string, NodeCounts>([[node, countsHere()]]);
    for (const [other, counts] of answers) if (counts !== undefined) said.set(other, counts);
    for (const [other, counts] of said) {
      this.#sums.note(other, counts);
      this.#last.set(other, counts);
    }
    const present = new Set(list.nodes.filter(({ state }) => state !== 'dead').map((info) => info.node));
    for (const other of this.#last.keys())
      if (other !== node && !present.has(other)) this.#last.delete(other);
    return {
      at: clock.now(),
      ...this.#ownFields(),
      presenceAvailable: list.isFresh && this.#options.presenceAvailable(),
      users: { online: this.#options.usersOnline(), lingering: this.#sumOf(({ lingering }) => lingering) },
      connections: this.#sumOf(({ connections }) => connections),
      totals: this.#sums.totals(),
      queues: this.#queues(),
      detectionLagMs: this.#sums.detectionLag(clock.monotonic()),
      settlement: this.#settlement(),
      nodes: this.#nodes(list.nodes, said),
    };
  }

  #ownFields(): Pick<LiveCounts, 'node' | 'version' | 'runtime' | 'basis'> {
    const { node, version, runtime } = this.#options;
    return { node, version, runtime, basis: `${node}/${this.#sums.basis}` };
  }

  #nodes(listed: readonly NodeInfo[], said: ReadonlyMap<string, NodeCounts>): readonly LiveNode[] {
    return listed.map((info) => {
      const counts = said.get(info.node);
      if (counts === undefined) return { ...info, answered: false };
      const { connections, draining } = counts;
      const users = info.node === this.#options.node ? this.#options.usersHere() : info.users;
      return { ...info, users, connections, draining, answered: true };
    });
  }

  #queues(): LiveQueues {
    const sum = (of: (queues: LiveQueues) => number): number => this.#sumOf(({ queues }) => of(queues));
    const most = (of: (queues: LiveQueues) => number): number => this.#most(({ queues }) => of(queues));
    return {
      dispatch: sum(({ dispatch }) => dispatch),
      dispatchCapacity: sum(({ dispatchCapacity }) => dispatchCapacity),
      send: sum(({ send }) => send),
      sendCapacity: most(({ sendCapacity }) => sendCapacity),
      loginsWaiting: sum(({ loginsWaiting }) => loginsWaiting),
      // All nodes see the same duties and the same stream, each one at the time of its own last check.
      settlementsPending: most(({ settlementsPending }) => settlementsPending),
      pushStream: most(({ pushStream }) => pushStream),
    };
  }

  #settlement(): LiveSettlement {
    return {
      available: [...this.#last.values()].every(({ settlement }) => settlement.available),
      oldestAgeMs: this.#most(({ settlement }) => settlement.oldestAgeMs),
      setAside: this.#most(({ settlement }) => settlement.setAside),
    };
  }

  #sumOf(read: (counts: NodeCounts) => number): number {
    let sum = 0;
    for (const counts of this.#last.values()) sum += read(counts);
    return sum;
  }

  #most(read: (counts: NodeCounts) => number): number {
    let most = 0;
    for (const counts of this.#last.values()) most = Math.max(most, read(counts));
    return most;
  }
}
