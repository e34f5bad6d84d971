import { assert } from '../../../lib/assert.ts';
import type { EndedPeriod } from '../../../protocol/periods.ts';
import type { LogoutReason } from '../../../protocol/reasons.ts';
import type { ClaimAnswer, EndAnswer, Loss, ReapAnswer, RenewAnswer, UserRecord } from '../port.ts';

/** What `read.lua` answers of one user. */
export type ReadReply = readonly [
  period: string,
  login: string,
  epoch: string,
  recorded: number,
  holders: number,
  sockets: number,
  proof: string,
  name: string,
  ip: string,
  last: string,
  unsettled: string,
  socketsElsewhere: number,
];

/** What `reap.lua` answers. */
export type ReapReply = readonly [ghosts: number, nextDeathMs: number, ...ended: string[]];

/** What `renew.lua` answers: restore, users online, world, number of foreign keys, these, then user and loss by turns. */
export function parseRenewAnswer(reply: readonly (number | string)[]): RenewAnswer {
  const [restore, onlineCount, birth, foreignCount = 0, ...rest] = reply;
  const foreign = rest.slice(0, Number(foreignCount)).map(String);
  const flat = rest.slice(foreign.length);
  const losses: Loss[] = [];
  for (let index = 0; index + 1 < flat.length; index += 2) {
    losses.push(parseLoss(Number(flat[index]), String(flat[index + 1])));
  }
  return {
    restore: restore === 1,
    world: String(birth),
    onlineCount: Number(onlineCount),
    losses,
    foreign,
  };
}

export function parseReapAnswer([ghosts, next, ...ended]: ReapReply): ReapAnswer {
  return {
    ghosts,
    nextDeathMs: next < 0 ? undefined : next,
    ended: ended.map((text) => parseEndedPeriod(text.split(','))),
  };
}

export function parseClaimAnswer(text: string): ClaimAnswer {
  const [kind = '', ...fields] = text.split(',');
  switch (kind) {
    case 'opened':
      return {
        kind,
        ...claimed(fields),
        unsettled: fields[3] === '' || fields[3] === undefined ? undefined : Number(fields[3]),
      };
    case 'joined':
      return { kind, ...claimed(fields) };
    case 'ended':
      return { kind, end: parseEndedPeriod(fields) };
    case 'blocked':
    case 'session-exists':
    case 'session-flapping':
      return { kind: 'refused', code: kind };
    case 'held':
    case 'released':
    case 'not-online':
    case 'gone':
    case 'stale':
    case 'lost':
    case 'taken':
    case 'young':
    case 'no-lease':
      return { kind };
    default:
      throw new Error(`claim.lua answered ${JSON.stringify(text.slice(0, 100))}`);
  }
}

export function parseEndAnswer(text: string): EndAnswer {
  const [kind = '', ...fields] = text.split(',');
  switch (kind) {
    case 'ended':
      return { kind, end: parseEndedPeriod(fields) };
    case 'superseded':
    case 'not-online':
    case 'young':
    case 'no-lease':
      return { kind };
    default:
      throw new Error(`end.lua answered ${JSON.stringify(text.slice(0, 100))}`);
  }
}

/** `rev|reason`, or `rev|reason|note` where the service said something of it: the note may hold anything. */
function parseLoss(userId: number, text: string): Loss {
  const [rev, reason, ...note] = text.split('|');
  return {
    userId,
    rev: Number(rev),
    reason: reason as Loss['reason'],
    ...(note.length === 0 ? {} : { note: note.join('|') }),
  };
}

/** `user,period,epoch,login,logout,reason` */
function parseEndedPeriod(fields: readonly string[]): EndedPeriod {
  const [userId, period, epoch, loginTime, logoutTime, reason] = fields;
  assert(reason !== undefined, 'an ended period has six fields');
  return {
    userId: Number(userId),
    period: Number(period),
    epoch: Number(epoch),
    loginTime: Number(loginTime),
    logoutTime: Number(logoutTime),
    reason: reason as LogoutReason,
  };
}

export function parseUserRecord(userId: number, reply: ReadReply | undefined): UserRecord | undefined {
  if (reply === undefined) return undefined;
  const [period, login, epoch, recorded, holders, sockets, proof, name, ip, last, , socketsElsewhere] = reply;
  const known = { userId, username: name === '' ? undefined : name, ip, epoch: Number(epoch) };
  if (recorded === 1 && holders > 0) {
    return {
      ...known,
      status: 'online',
      loginTime: Number(login),
      lastHeartbeat: Number(proof),
      logoutTime: undefined,
      sockets,
      socketsElsewhere,
      period: Number(period),
    };
  }
  if (last === '') return undefined;
  const [lastPeriod, loginTime, lastHeartbeat, logoutTime] = last.split('|').map(Number);
  assert(
    logoutTime !== undefined && loginTime !== undefined && lastHeartbeat !== undefined,
    'a last period has its times',
  );
  return {
    ...known,
    status: 'offline',
    loginTime,
    lastHeartbeat,
    logoutTime,
    sockets: 0,
    socketsElsewhere: 0,
    period: lastPeriod,
  };
}

function claimed(fields: readonly string[]): { period: number; epoch: number; loginTime: number } {
  return { period: Number(fields[0]), epoch: Number(fields[1]), loginTime: Number(fields[2]) };
}
