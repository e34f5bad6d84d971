import type { RunningPeriod, UserRecord } from '../store/port.ts';
import { isOnline, type LastPeriod, newestProof, type RecordState } from './record.ts';

/** The record of a user as `node` reads it; undefined if nothing is known. */
export function visibleRecord(record: RecordState | undefined, node: string): UserRecord | undefined {
  if (record === undefined) return undefined;
  const { userId, ip, epoch, last } = record;
  const username = record.username === '' ? undefined : record.username;
  if (isOnline(record)) {
    let sockets = 0;
    for (const hold of record.holds.values()) sockets += hold.sockets;
    const socketsElsewhere = sockets - (record.holds.get(node)?.sockets ?? 0);
    const { loginTime, period } = record;
    return {
      userId,
      username,
      ip,
      status: 'online',
      loginTime,
      lastHeartbeat: newestProof(record),
      logoutTime: undefined,
      sockets,
      socketsElsewhere,
      epoch,
      period,
    };
  }
  return last === undefined ? undefined : offline({ userId, username, ip, epoch, last });
}

/** The period that runs, or that is about to open. */
export function runningPeriod(record: RecordState | undefined): RunningPeriod | undefined {
  if (record === undefined || record.holds.size === 0) return undefined;
  const { period, epoch } = record;
  return { period, epoch };
}

function offline(known: {
  userId: number;
  username: string | undefined;
  ip: string;
  epoch: number;
  last: LastPeriod;
}): UserRecord {
  const { userId, username, ip, epoch, last } = known;
  const { loginTime, lastHeartbeat, logoutTime, period } = last;
  return {
    userId,
    username,
    ip,
    status: 'offline',
    loginTime,
    lastHeartbeat,
    logoutTime,
    sockets: 0,
    socketsElsewhere: 0,
    epoch,
    period,
  };
}
