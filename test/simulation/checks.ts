import { isOnline } from '../../src/presence/rules/record.ts';
import type { PeriodRow } from '../../src/protocol/periods.ts';
import type { Deployment } from './deployment.ts';
import { HEARTBEAT_TIMEOUT_MS } from './simulated-node.ts';

/** The clocks of nodes differ a little, and a node reconciles by its own clock. */
const SKEW_MS = 50;
/** A client learns within this time that its node has closed the socket. */
const CLOSED_WITHIN_MS = 100;

/** What must be true at every moment. */
export function checkStep({ redis, witness }: Deployment): void {
  let online = 0;
  for (const record of redis.world.records.values()) if (isOnline(record)) online += 1;
  if (online !== redis.world.onlineCount)
    witness.violated(`[PR1] ${online} users are online and ${redis.world.onlineCount} in the set`);
}

/** After a calm time every user who plays is online, on the right node. */
export function checkCalm(history: Deployment): void {
  checkStep(history);
  const { redis, witness, nodes, rules, devices, scheduler } = history;
  for (const node of nodes) {
    if (!node.tracker.available) witness.violated(`[PR10] ${node.name} is not available after a calm time`);
  }
  const playing = devices.filter(({ socket }) => socket?.isOpen === true && socket.pings);
  for (const { userId, name, socket } of playing) {
    const record = redis.world.records.get(userId);
    const { connection, node } = socket ?? {};
    if (node === undefined || connection === undefined) continue;
    if (!connection.isOpen && scheduler.now - (socket?.goneAt ?? 0) > CLOSED_WITHIN_MS)
      witness.violated(`[PR4] [PR6] ${name} plays on a socket that ${node.name} has given up`);
    if (scheduler.now - connection.provenAtMonotonic > 3000) continue;
    if (!isOnline(record)) witness.violated(`[PR11] ${name} plays on ${node.name} and is not online`);
    else if (!record.holds.has(node.name))
      witness.violated(`[PR9] ${name} plays on ${node.name}, which holds nothing`);
  }
  if (rules.policy !== 'replace') return;
  // If a node froze during a take-over, its old socket ends by its own silence (bound `looks-dead`).
  const witnesses = nodes.filter(({ troubledUntil }) => troubledUntil < scheduler.now - HEARTBEAT_TIMEOUT_MS);
  for (const userId of new Set(devices.map((device) => device.userId))) {
    let sockets = 0;
    for (const { manager } of witnesses) sockets += manager.connectionsOf(userId).length;
    if (sockets > 1) witness.violated(`[PR4] user ${userId} has ${sockets} sockets after a calm time`);
  }
}

/** All users have left: only settled rows remain. */
export function checkHealed(history: Deployment): void {
  checkStep(history);
  checkRedis(history);
  checkNodes(history);
  checkRows(history);
}

function checkRedis({ redis, witness, nodes }: Deployment): void {
  for (const record of redis.world.records.values()) {
    if (record.holds.size > 0)
      witness.violated(`[PR6] user ${record.userId} is still held by ${[...record.holds.keys()].join(', ')}`);
  }
  if (redis.duties.size > 0) witness.violated(`[ST7] ${redis.duties.size} duties are left`);
  for (const { name } of nodes) {
    const losses = redis.world.losses.get(name)?.size ?? 0;
    if (losses > 0) witness.violated(`[PR4] ${losses} losses of ${name} are not acknowledged`);
  }
}

function checkNodes({ witness, nodes }: Deployment): void {
  for (const { name, tracker, manager } of nodes) {
    if (tracker.heldUsers > 0)
      witness.violated(`[PR6] ${name} still has ${tracker.heldUsers} users in its map`);
    if (manager.connectionCount > 0)
      witness.violated(`[HB4] ${name} still has ${manager.connectionCount} sockets`);
  }
}

function checkRows(history: Deployment): void {
  const { sql, witness, rules } = history;
  const ofUser = new Map<number, PeriodRow[]>();
  for (const row of sql.rows.values()) {
    ofUser.set(row.userId, [...(ofUser.get(row.userId) ?? []), row]);
    if (row.settledAt === null) witness.violated(`[ST4] ${row.userId}:${row.period} is open for ever`);
  }
  for (const { userId, period, loginTime } of witness.told.values()) {
    const row = sql.rows.get(`${userId}:${period}`);
    // If only Redis and one node knew a period and both died, the period is lost (bound `lost-period`).
    const mayBeLost =
      !rules.loginResetsTime && witness.nodeDied && witness.unwritten.has(`${userId}:${period}`);
    if (row === undefined && !mayBeLost) witness.violated(`[ST2] ${userId}:${period} is not in SQL`);
    // Only a node knew this number. It was away while Redis lost its data and its clock stepped back (bound `stepped-number`).
    const mayRepeat = witness.redisFell && witness.lostMemoryAt > 0;
    if (row !== undefined && row.loginAt !== loginTime && !mayRepeat)
      witness.violated(`[PR2] ${userId}:${period} began at ${loginTime}, in SQL at ${row.loginAt}`);
  }
  for (const [userId, rows] of ofUser) checkUser(history, userId, rows);
}

function checkUser({ sql, witness, rules }: Deployment, userId: number, rows: readonly PeriodRow[]): void {
  const sorted = [...rows].sort((left, right) => left.period - right.period);
  let newest = 0;
  sorted.forEach((row, index) => {
    const next = sorted[index + 1];
    const logoutAt = row.logoutAt ?? 0;
    newest = Math.max(newest, logoutAt, rules.loginResetsTime ? row.loginAt : 0);
    if (row.settledAt === null) return;
    const nextKey = next === undefined ? undefined : `${userId}:${next.period}`;
    // Nodes reconcile by their own clocks. All other logout times follow the clock of Redis (bound `wall-clock`).
    const isByNode = row.reason === 'reconciled' && witness.stepped;
    if (isByNode || witness.openings.hasSteppedSince(`${userId}:${row.period}`, nextKey)) return;
    // The numbers of the two periods have the wrong order (bound `stepped-number`).
    if (nextKey !== undefined && witness.openings.isMisnumbered(`${userId}:${row.period}`, nextKey)) return;
    if (logoutAt < row.loginAt) witness.violated(`[ST2] ${userId}:${row.period} ends before it began`);
    // An ended period may come back while SQL has a later one (bounds `rollback`, `silent-sql`, `lost-duty`). The same may happen
    // to a period that was reconciled before SQL knew the next login (bound `overlap`).
    const wasUnknown =
      row.reason === 'reconciled' && next !== undefined && sql.lateRows.has(`${userId}:${next.period}`);
    // The period in between was given up, and no client knew it (bound `given-up`).
    const isGivenUp = next !== undefined && !witness.told.has(`${userId}:${next.period}`);
    const mayOverlap =
      wasUnknown ||
      isGivenUp ||
      witness.broughtBack.has(`${userId}:${row.period}`) ||
      witness.dutiesLost.has(`${userId}:${row.period}`);
    if (next !== undefined && !mayOverlap && logoutAt > next.loginAt + SKEW_MS)
      witness.violated(
        `[ST2] ${userId}:${row.period} (${row.reason}) ends ${logoutAt - next.loginAt} ms after the next login`,
      );
  });
  if (rules.loginResetsTime) newest = Math.max(newest, sql.droppedLogins.get(userId) ?? 0);
  const time = sql.times.get(userId) ?? 0;
  if (time !== newest)
    witness.violated(`[ST2] user ${userId} has time ${time}, the last logout is ${newest}`);
}
