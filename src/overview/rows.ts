import type { HeldUser } from '../presence/api.ts';
import { USER_STATES, type UserRow } from './api.ts';

/** A row in the messages between nodes: id, name, state, since, age of the newest proof of life, address, connections. */
type PackedRow = readonly [
  userId: number,
  username: string,
  state: number,
  since: number,
  proofAgeMs: number,
  ip: string,
  connections: number,
];

const MAX_NAME_LENGTH = 256;
const MAX_ADDRESS_LENGTH = 64;

/** The row of a user on one node. `nodes` contains that node. */
export function rowOf(user: HeldUser, nodes: readonly [string]): UserRow {
  const { userId, username, state, loginTime, lastHeartbeat, ip, connections } = user;
  return { userId, username, state, node: nodes[0], nodes, since: loginTime, lastHeartbeat, ip, connections };
}

/** Uses an age and not a time, because the clocks of two nodes may differ. */
export function packed(user: HeldUser, now: number): PackedRow {
  return [
    user.userId,
    user.username.slice(0, MAX_NAME_LENGTH),
    USER_STATES.indexOf(user.state),
    user.loginTime,
    Math.max(0, now - user.lastHeartbeat),
    user.ip.slice(0, MAX_ADDRESS_LENGTH),
    user.connections,
  ];
}

/** Undefined if the value is not a row. */
export function unpacked(
  value: unknown,
  { now, nodes }: { readonly now: number; readonly nodes: readonly [string] },
): UserRow | undefined {
  if (!Array.isArray(value)) return undefined;
  const [userId, username, stateNumber, since, proofAgeMs, ip, connections] = value as unknown[];
  const state = typeof stateNumber === 'number' ? USER_STATES[stateNumber] : undefined;
  if (!isCount(userId) || !isCount(since) || !isCount(proofAgeMs) || !isCount(connections)) return undefined;
  if (state === undefined || !isText(username, MAX_NAME_LENGTH) || !isText(ip, MAX_ADDRESS_LENGTH))
    return undefined;
  const lastHeartbeat = Math.max(0, now - proofAgeMs);
  return { userId, username, state, node: nodes[0], nodes, since, lastHeartbeat, ip, connections };
}

/** Joins the rows of a user that several nodes hold. The node comes from the row with the more active state. */
export function merged(one: UserRow, other: UserRow): UserRow {
  const isFirst = USER_STATES.indexOf(one.state) <= USER_STATES.indexOf(other.state);
  const [first, second] = isFirst ? [one, other] : [other, one];
  return {
    ...first,
    username: first.username === '' ? second.username : first.username,
    ip: first.ip === '' ? second.ip : first.ip,
    nodes: [...first.nodes, ...second.nodes],
    since: Math.min(one.since, other.since),
    lastHeartbeat: Math.max(one.lastHeartbeat, other.lastHeartbeat),
    connections: one.connections + other.connections,
  };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isText(value: unknown, maxLength: number): value is string {
  return typeof value === 'string' && value.length <= maxLength;
}
