import { listOf, numberOf, numberOrNull, objectOf, textOf, textsOf } from './reading.ts';

/** Readers of the API's answers. Each returns undefined if the answer has another form. */

export interface OnlineUser {
  readonly userId: number;
  readonly username: string;
  readonly state: string;
  readonly node: string;
  readonly nodes: readonly string[];
  readonly since: number;
  readonly lastHeartbeat: number;
  readonly ip: string;
  readonly connections: number;
}

export interface UsersWindow {
  readonly at: number;
  readonly total: number;
  readonly matched: number;
  readonly offset: number;
  readonly users: readonly OnlineUser[];
  /** What is missing, as a sentence. */
  readonly partial: string;
}

const MOST_USERS = 200;
const MOST_CONNECTIONS = 1_000;
const MOST_GROUPS = 1_000;
const MOST_NODES = 100;
const MOST_ENTRIES = 1_000;
const MOST_KEYS = 500;

export function readUsers(value: unknown): UsersWindow | undefined {
  const given = objectOf(value);
  if (!Array.isArray(given['users'])) return undefined;
  return {
    at: numberOf(given['at']),
    total: numberOf(given['total']),
    matched: numberOf(given['matched']),
    offset: numberOf(given['offset']),
    users: listOf(given['users'], MOST_USERS).map((user) => ({
      userId: numberOf(user['userId']),
      username: textOf(user['username']),
      state: textOf(user['state']),
      node: textOf(user['node']),
      nodes: textsOf(user['nodes'], MOST_NODES),
      since: numberOf(user['since']),
      lastHeartbeat: numberOf(user['lastHeartbeat']),
      ip: textOf(user['ip']),
      connections: numberOf(user['connections']),
    })),
    partial: textOf(given['partial']),
  };
}

export interface Connection {
  readonly connectionId: string;
  readonly node: string;
  readonly since: number;
  readonly epoch: string;
  readonly address: string;
  readonly protocol: string;
  readonly state: string;
  readonly queue: number;
  readonly queueBytes: number;
}

export interface Player {
  readonly username: string;
  readonly status: string;
  readonly loginTime: number | null;
  readonly lastHeartbeat: number | null;
  readonly logoutTime: number | null;
  readonly ip: string;
}

export interface UserDetails {
  readonly player: Player | undefined;
  readonly connections: readonly Connection[];
  readonly groups: readonly string[];
  /** Empty if no node that answered holds the user. */
  readonly state: string;
  readonly blockedUntil: number | null;
  /** Nodes that did not answer. */
  readonly partial: readonly string[];
}

export function readUser(value: unknown): UserDetails | undefined {
  const given = objectOf(value);
  if (!Array.isArray(given['connections'])) return undefined;
  return {
    player: readPlayer(given['player']),
    connections: listOf(given['connections'], MOST_CONNECTIONS).map((connection) => ({
      connectionId: textOf(connection['connectionId']),
      node: textOf(connection['node']),
      since: numberOf(connection['since']),
      epoch: textOf(connection['epoch']),
      address: textOf(connection['address']),
      protocol: textOf(connection['protocol']),
      state: textOf(connection['state']),
      queue: numberOf(connection['queue']),
      queueBytes: numberOf(connection['queueBytes']),
    })),
    groups: textsOf(given['groups'], MOST_GROUPS),
    state: textOf(given['state']),
    blockedUntil: numberOrNull(given['blockedUntil']),
    partial: textsOf(given['partial'], MOST_NODES),
  };
}

/** The state of a user in the words of the list of users. If a node did not answer, it only says that the user is online. */
export function stateOf(player: Player, details: UserDetails | undefined): string {
  if (player.status !== 'online' || details === undefined) return player.status;
  const { state, partial } = details;
  // A node that did not answer may hold a more active connection.
  return state === '' || (state !== 'active' && partial.length > 0) ? player.status : state;
}

function readPlayer(value: unknown): Player | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const player = objectOf(value);
  return {
    username: textOf(player['username']),
    status: textOf(player['status']),
    loginTime: numberOrNull(player['loginTime']),
    lastHeartbeat: numberOrNull(player['lastHeartbeat']),
    logoutTime: numberOrNull(player['logoutTime']),
    ip: textOf(player['ip']),
  };
}

export interface Entry {
  readonly at: number;
  readonly event: string;
  readonly cause: string;
  readonly reason: string | undefined;
  readonly node: string;
  readonly epoch: string;
}

export interface Timeline {
  readonly entries: readonly Entry[];
  /** Present while there may be older entries. */
  readonly cursor: string;
}

export function readTimeline(value: unknown): Timeline | undefined {
  const given = objectOf(value);
  if (!Array.isArray(given['entries'])) return undefined;
  return {
    entries: listOf(given['entries'], MOST_ENTRIES).map((entry) => ({
      at: numberOf(entry['at']),
      event: textOf(entry['event']),
      cause: textOf(entry['cause']),
      reason: typeof entry['reason'] === 'string' ? entry['reason'] : undefined,
      node: textOf(entry['node']),
      epoch: textOf(entry['epoch']),
    })),
    cursor: textOf(given['cursor']),
  };
}

export interface ConfigKey {
  readonly name: string;
  readonly value: string;
  readonly isDefault: boolean;
  readonly source: string;
  readonly meaning: string;
  readonly section: string;
}

export interface ConfigInForce {
  readonly access: 'service' | 'view' | undefined;
  readonly keys: readonly ConfigKey[];
}

export function readConfig(value: unknown): ConfigInForce | undefined {
  const given = objectOf(value);
  if (!Array.isArray(given['keys'])) return undefined;
  const access = given['access'];
  return {
    access: access === 'service' || access === 'view' ? access : undefined,
    keys: listOf(given['keys'], MOST_KEYS).map((key) => ({
      name: textOf(key['name']),
      value: shown(key['value']),
      isDefault: key['isDefault'] === true,
      source: textOf(key['source']),
      meaning: textOf(key['meaning']),
      section: textOf(key['section']),
    })),
  };
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
