import { isOnline } from '../../src/presence/rules/record.ts';
import type { Deployment } from './deployment.ts';

/** Whether every user who plays is online on the node of that user's socket, and nothing is left to do for that. */
export function isCalm({ nodes, devices, redis, sql, witness }: Deployment): boolean {
  for (const record of redis.world.records.values())
    if (!witness.nodeDied && isOnline(record) && !sql.rows.has(`${record.userId}:${record.period}`))
      return false;
  return (
    nodes.every(({ tracker }) => tracker.available) &&
    devices.every(({ isBusy, socket, userId }) => {
      if (isBusy) return false;
      if (socket === undefined || !socket.isOpen || !socket.pings) return true;
      const record = redis.world.records.get(userId);
      return isOnline(record) && record.holds.has(socket.node.name);
    })
  );
}

/** Whether all users have left and everything is settled, so that nothing more can happen. */
export function isSilent({ nodes, redis, sql }: Deployment): boolean {
  if (redis.duties.size > 0) return false;
  for (const { holds } of redis.world.records.values()) if (holds.size > 0) return false;
  for (const { name, tracker, manager } of nodes) {
    if (tracker.heldUsers > 0 || manager.connectionCount > 0) return false;
    if ((redis.world.losses.get(name)?.size ?? 0) > 0) return false;
  }
  for (const { settledAt } of sql.rows.values()) if (settledAt === null) return false;
  return true;
}
