import type { Clock, Timer } from '../lib/clock.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { inBackground } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import { NODE_RESPONSIVE_MS } from '../protocol/liveness.ts';
import { NameWatch } from './name-watch.ts';
import type { NodeCalls } from './node-calls.ts';
import type { NodeDirectory, NodeSighting, NodeState } from './node-directory.ts';
import { incarnationOf, nameOf } from './node-name.ts';

/** Interval of a node's announcements. What other nodes show of it is at most this old. */
const ANNOUNCE_MS = 2000;
/** Time between the first two looks for nodes of the same name. A living node renews twice in this time. */
const FIRST_LOOK_MS = 1000;
const LOOK_MS = 4000;
/** How long another node has to say that it drains. */
const DRAIN_ANSWER_MS = 1000;

/** Why a node was not drained, or may not have been. */
export type NodeRefusal = 'not-found' | 'node-ambiguous' | 'node-silent';

/** One node as an operator sees it. */
export interface NodeInfo {
  /** `<name>:<incarnation>` */
  readonly node: string;
  readonly name: string;
  readonly incarnation: string;
  /** `silent`: no sign of life for 3 s. `dead`: it lost its lease for good, and its users are being logged out. */
  readonly state: 'live' | 'silent' | 'dead';
  /** Age of its last sign of life in ms; null for the dead. */
  readonly leaseAgeMs: number | null;
  /** Users that it holds, lingering ones included. Of a dead node: users that are not logged out yet. */
  readonly users: number;
  /** Number of open sockets, at most 2 s old; null if the node has not announced it lately. */
  readonly connections: number | null;
  readonly draining: boolean;
}

export interface NodesOptions {
  /** This incarnation. */
  readonly node: string;
  readonly directory: NodeDirectory;
  /** Absent if there is no other node. */
  readonly calls?: NodeCalls | undefined;
  readonly state: () => NodeState;
  /** Takes this node out of service, or back. `by` is the node that got the request. */
  readonly drain: (draining: boolean, by: string) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** The nodes of the deployment, for the operator: lists them, and drains any of them from any other. */
export class Nodes {
  readonly #options: NodesOptions;
  readonly #names: NameWatch;
  readonly #timers: Timer[] = [];
  #responsive: readonly string[] = [];

  constructor(options: NodesOptions) {
    this.#options = options;
    this.#names = new NameWatch(options.node);
  }

  /** Starts to announce this node, to answer calls, and to look for nodes of the same name. Does not wait. */
  start(): void {
    const { clock, calls, log } = this.#options;
    if (calls === undefined) return;
    calls.serve((call, from) => this.#answer(call, from));
    this.announce();
    const look = (): void => inBackground(log, this.#look());
    look();
    this.#timers.push(
      clock.every(ANNOUNCE_MS, () => this.announce()),
      clock.after(FIRST_LOOK_MS, look),
      clock.every(LOOK_MS, look),
    );
  }

  stop(): void {
    for (const timer of this.#timers) timer.cancel();
  }

  /**
   * Whether this node does the work that only one node of the deployment must do. That is the first by name of the living nodes.
   * For a few seconds around the start or the death of a node, two nodes may do it, or none.
   */
  get isFirst(): boolean {
    return this.#options.calls === undefined || this.#responsive[0] === this.#options.node;
  }

  /** Announces the present state of this node. */
  announce(): void {
    const { directory, state } = this.#options;
    // Presence logs that its store is unreachable.
    directory.announce(state()).catch(() => {});
  }

  /** In order of name. Rejects while the store is unreachable. */
  async list(): Promise<readonly NodeInfo[]> {
    const { directory, node, state } = this.#options;
    const nodes = await directory.list();
    return nodes
      .map((sighting) => toInfo(sighting.node === node ? { ...sighting, ...state() } : sighting))
      .sort((left, right) => (left.node < right.node ? -1 : 1));
  }

  /**
   * Takes a node out of service, or back. Resolves once that node has confirmed it. `asked` is a name, an incarnation or both;
   * absent: this node. Rejects if `asked` is another node and the store is unreachable.
   */
  async drain(
    asked: string | undefined,
    draining: boolean,
  ): Promise<Result<{ readonly node: string; readonly draining: boolean }, NodeRefusal>> {
    const { node, calls, directory } = this.#options;
    const here = (): Result<{ readonly node: string; readonly draining: boolean }, NodeRefusal> =>
      ok({ node, draining: this.#drainHere(draining, node).draining });
    if (asked === undefined || asked === node || asked === incarnationOf(node)) return here();
    const isOwnName = isNamed(node, asked);
    if (calls === undefined) return isOwnName ? here() : err('not-found');
    const sightings = await directory.list().catch((error: unknown) => {
      // Nobody can say now whether another node has this name; who is asked has it.
      if (isOwnName) return [{ node, silentMs: 0 }];
      throw error;
    });
    const living = sightings.filter(({ silentMs }) => silentMs !== undefined);
    const named = living.filter((sighting) => isNamed(sighting.node, asked));
    const responsive = named.filter(({ silentMs = 0 }) => silentMs < NODE_RESPONSIVE_MS);
    // An earlier incarnation that has just died does not make a name ambiguous.
    const [target, second] = responsive.length > 0 ? responsive : named;
    if (target === undefined) return err('not-found');
    if (second !== undefined) return err('node-ambiguous');
    if (target.node === node) return here();
    const answer = await calls.ask(target.node, { drain: draining }, DRAIN_ANSWER_MS);
    return answer.ok && isState(answer.value)
      ? ok({ node: target.node, draining: answer.value.draining })
      : err('node-silent');
  }

  #drainHere(draining: boolean, by: string): NodeState {
    const { drain, state } = this.#options;
    if (state().draining !== draining) drain(draining, by);
    return state();
  }

  #answer(call: unknown, from: string): NodeState | undefined {
    if (typeof call !== 'object' || call === null || !('drain' in call) || typeof call.drain !== 'boolean')
      return undefined;
    return this.#drainHere(call.drain, from);
  }

  async #look(): Promise<void> {
    const { directory, log, node } = this.#options;
    const nodes = await directory.list().catch(() => []);
    this.#responsive = nodes
      .filter(({ silentMs }) => silentMs !== undefined && silentMs < NODE_RESPONSIVE_MS)
      .map((sighting) => sighting.node)
      .sort();
    for (const other of this.#names.look(nodes))
      log.warn(
        { event: 'node-name-shared', variable: 'LINGXI_NODE_NAME', node, other },
        `another living node of this Redis is named ${nameOf(node)} too: give each node a LINGXI_NODE_NAME of its own, and each deployment a Redis database of its own`,
      );
  }
}

function isNamed(node: string, asked: string): boolean {
  return asked === node || asked === nameOf(node) || asked === incarnationOf(node);
}

function toInfo({ node, silentMs, users, connections, draining }: NodeSighting): NodeInfo {
  const dead = silentMs === undefined;
  return {
    node,
    name: nameOf(node),
    incarnation: incarnationOf(node),
    state: dead ? 'dead' : silentMs < NODE_RESPONSIVE_MS ? 'live' : 'silent',
    leaseAgeMs: silentMs ?? null,
    users,
    connections: dead ? 0 : (connections ?? null),
    draining: !dead && draining === true,
  };
}

function isState(value: unknown): value is NodeState {
  return (
    typeof value === 'object' &&
    value !== null &&
    'draining' in value &&
    typeof value.draining === 'boolean' &&
    'connections' in value &&
    typeof value.connections === 'number'
  );
}
