import type { NodeCalls } from '../cluster/node-calls.ts';
import type { NodeInfo } from '../cluster/nodes.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../logging/log.ts';
import type { Dashboard, LiveReader, UserDetails, UsersPage, UsersQuery } from './api.ts';
import { Collector } from './collector.ts';
import { countsHere, fieldsOf, type NodeSources } from './node-counts.ts';
import { Peers } from './peers.ts';
import { PAGE, RemoteUsers } from './remote-users.ts';
import { Details, type DetailsOptions } from './user-details.ts';
import { type OwnUsers, Users, type UsersOptions } from './users.ts';

export interface DashboardOptions extends Omit<NodeSources, 'uptimeMs'> {
  readonly node: string;
  readonly version: string;
  /** For example `bun 1.2.3`. */
  readonly runtime: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly nodes: () => Promise<readonly NodeInfo[]>;
  readonly calls: NodeCalls | undefined;
  readonly presenceAvailable: () => boolean;
  readonly usersHere: () => number;
  readonly own: OwnUsers;
  readonly defaultName: UsersOptions['defaultName'];
  readonly connections: DetailsOptions['connections'];
  readonly groups: DetailsOptions['groups'];
}

/** The data of the dashboard, from all nodes. Each node answers the others for itself. */
export class DashboardData implements Dashboard {
  readonly #collector: Collector;
  readonly #remote: RemoteUsers;
  readonly #users: Users;
  readonly #details: Details;
  readonly #counts: () => ReturnType<typeof countsHere>;

  constructor(options: DashboardOptions) {
    const { node, clock, log, calls, gauges } = options;
    const startedAt = clock.monotonic();
    const peers = new Peers({ node, list: options.nodes, calls, clock });
    this.#counts = () => countsHere({ ...options, uptimeMs: () => clock.monotonic() - startedAt });
    this.#collector = new Collector({
      ...options,
      peers,
      countsHere: this.#counts,
      usersOnline: () => gauges.usersOnline(),
    });
    this.#remote = new RemoteUsers({ peers, clock, log });
    this.#users = new Users({
      node,
      own: options.own,
      remote: this.#remote,
      orphans: () => gauges.orphans(),
      defaultName: options.defaultName,
      clock,
    });
    this.#details = new Details({ ...options, peers, held: (userId) => options.own.one(userId) });
    calls?.serve((call) => this.#answer(call));
  }

  live(reader: LiveReader): (() => void) | undefined {
    return this.#collector.open(reader);
  }

  users(query: UsersQuery): Promise<UsersPage | undefined> {
    return this.#users.page(query);
  }

  user(userId: number): Promise<UserDetails> {
    return this.#details.everywhere(userId);
  }

  /** Ends the live streams. */
  stop(): void {
    this.#collector.stop();
    this.#remote.stop();
  }

  /** The answer to another node. Undefined: the call does not belong to the dashboard. */
  #answer(call: unknown): unknown {
    const fields = fieldsOf(call);
    switch (fields?.['dashboard']) {
      case 'counts':
        return this.#counts();
      case 'users': {
        const { after, limit } = fields;
        const isPage = Number.isSafeInteger(after) && Number.isSafeInteger(limit) && Number(limit) > 0;
        return isPage ? this.#users.pageHere(Number(after), Math.min(PAGE, Number(limit))) : undefined;
      }
      case 'rows': {
        const { userIds } = fields;
        return Array.isArray(userIds) ? this.#users.rowsHere(userIds.map(Number)) : undefined;
      }
      case 'user':
        return Number.isSafeInteger(fields['userId'])
          ? this.#details.here(Number(fields['userId']))
          : undefined;
      default:
        return undefined;
    }
  }
}
