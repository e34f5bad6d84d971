import type { ConnectionInfo } from '../connection/connection-info.ts';
import type { HeldUser } from '../presence/api.ts';
import { type PlacedConnection, USER_STATES, type UserDetails } from './api.ts';
import { fieldsOf } from './node-counts.ts';
import type { Peers } from './peers.ts';

/** Connections of one user in the answer of one node. */
const MAX_CONNECTIONS = 1_000;
const MAX_GROUPS = 10_000;
const MAX_TEXT = 256;

export interface DetailsOptions {
  readonly node: string;
  readonly peers: Peers;
  readonly connections: (userId: number) => readonly ConnectionInfo[];
  readonly groups: (userId: number) => readonly string[];
  /** Undefined if this node does not hold the user. */
  readonly held: (userId: number) => HeldUser | undefined;
}

interface NodeDetails {
  readonly connections: readonly PlacedConnection[];
  readonly groups: readonly string[];
  /** Absent if the node does not hold the user. */
  readonly state: HeldUser['state'] | undefined;
}

/** Collects the data of all nodes about one user. Each node knows its own connections. */
export class Details {
  readonly #options: DetailsOptions;

  constructor(options: DetailsOptions) {
    this.#options = options;
  }

  here(userId: number): NodeDetails {
    const { node, connections, groups, held } = this.#options;
    const placed = connections(userId).map(({ userId: _user, username: _name, ...info }) => ({
      ...info,
      node,
    }));
    return { connections: placed, groups: groups(userId), state: held(userId)?.state };
  }

  async everywhere(userId: number): Promise<UserDetails> {
    const { peers } = this.#options;
    const list = await peers.list();
    const silent: string[] = [];
    const details = [this.here(userId)];
    await Promise.all(
      peers.others(list).map(async (node) => {
        const answer = await peers.ask(node, { dashboard: 'user', userId }, (value) =>
          readDetails(value, node),
        );
        if (answer === undefined) silent.push(node);
        else details.push(answer);
      }),
    );
    return {
      connections: details
        .flatMap(({ connections }) => connections)
        .sort((left, right) => left.since - right.since),
      groups: [...new Set(details.flatMap(({ groups }) => groups))].sort(),
      state: USER_STATES.find((name) => details.some(({ state }) => state === name)),
      partial: silent.length === 0 && list.isFresh ? undefined : silent.sort(),
    };
  }
}

/** Undefined if the answer has an invalid form. */
function readDetails(answer: unknown, node: string): NodeDetails | undefined {
  const fields = fieldsOf(answer);
  const connections = fields?.['connections'];
  const groups = fields?.['groups'];
  if (!Array.isArray(connections) || !Array.isArray(groups)) return undefined;
  return {
    connections: connections.slice(0, MAX_CONNECTIONS).flatMap((value) => readConnection(value, node) ?? []),
    groups: groups.slice(0, MAX_GROUPS).filter((name): name is string => isText(name)),
    state: USER_STATES.find((name) => name === fields?.['state']),
  };
}

function readConnection(value: unknown, node: string): PlacedConnection | undefined {
  const { connectionId, epoch, since, ip, protocol, state, queue, queueBytes } = fieldsOf(value) ?? {};
  if (!isText(connectionId) || !isText(ip)) return undefined;
  if (!isNumber(epoch) || !isNumber(since) || !isNumber(queue) || !isNumber(queueBytes)) return undefined;
  return {
    ...{ node, connectionId, epoch, since, ip, queue, queueBytes },
    protocol: protocol === 'lingxi.v1' ? protocol : 'seed',
    state: state === 'background' ? state : 'active',
  };
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_TEXT;
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
