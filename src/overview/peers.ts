import type { NodeCalls } from '../cluster/node-calls.ts';
import type { NodeInfo } from '../cluster/nodes.ts';
import type { Clock } from '../lib/clock.ts';
import { withDeadline } from '../lib/deadline.ts';

/** Longest wait for the list of nodes, and for the answer of a node. */
export const ANSWER_MS = 300;
/** Within this time, all callers get the same list of nodes. */
const LIST_AGE_MS = 250;
/** Largest number of nodes that are called. */
const MAX_NODES = 100;

/** The nodes of the deployment at one moment. */
export interface NodeList {
  readonly nodes: readonly NodeInfo[];
  /** False if the store did not answer: the nodes are the last known ones. */
  readonly isFresh: boolean;
}

export interface PeersOptions {
  /** This incarnation. */
  readonly node: string;
  readonly list: () => Promise<readonly NodeInfo[]>;
  /** Absent if there is no other node. */
  readonly calls: Pick<NodeCalls, 'ask'> | undefined;
  readonly clock: Clock;
}

/** The other nodes, for calls that each of them answers for itself. */
export class Peers {
  readonly #options: PeersOptions;
  #known: readonly NodeInfo[] = [];
  #listedAt = Number.NEGATIVE_INFINITY;
  #listing: Promise<NodeList> | undefined;

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  list(): Promise<NodeList> {
    const { clock } = this.#options;
    if (clock.monotonic() - this.#listedAt < LIST_AGE_MS)
      return Promise.resolve({ nodes: this.#known, isFresh: true });
    this.#listing ??= this.#list().finally(() => {
      this.#listing = undefined;
    });
    return this.#listing;
  }

  /** The other nodes that may answer. */
  others({ nodes }: NodeList): readonly string[] {
    const { node, calls } = this.#options;
    if (calls === undefined) return [];
    return nodes.filter((info) => info.node !== node && info.state !== 'dead').map((info) => info.node);
  }

  /** Undefined if the node does not answer in time, or its answer has an invalid form. `read` never throws. */
  async ask<Answer>(
    node: string,
    call: unknown,
    read: (answer: unknown) => Answer | undefined,
  ): Promise<Answer | undefined> {
    const answer = await this.#options.calls?.ask(node, call, ANSWER_MS);
    return answer?.ok === true ? read(answer.value) : undefined;
  }

  async #list(): Promise<NodeList> {
    const { clock, list } = this.#options;
    try {
      this.#known = (await withDeadline(clock, ANSWER_MS, list)).slice(0, MAX_NODES);
      this.#listedAt = clock.monotonic();
      return { nodes: this.#known, isFresh: true };
    } catch {
      return { nodes: this.#known, isFresh: false };
    }
  }
}
