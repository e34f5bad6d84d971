import { assert } from '../../../lib/assert.ts';
import type { EndedPeriod } from '../../../protocol/periods.ts';
import type { LogoutReason } from '../../../protocol/reasons.ts';
import type {
  ClaimAnswer,
  EndAnswer,
  GroupAnswer,
  Loss,
  LostByNodes,
  ReapAnswer,
  RenewAnswer,
  RunningPeriod,
  UserRecord,
} from '../port.ts';
import {
  ACCEPTED,
  ANSWERED,
  decoder,
  ENDED,
  GROUP_STEP,
  LAST,
  LOSS,
  LOST,
  REAPED,
  RENEWED,
  textDecoder,
  USER,
} from './wire.ts';

const decodeAccepted = decoder(ACCEPTED);
const decodeEnded = decoder(ENDED);
const decodeUser = decoder(USER);
const decodeGroupStep = decoder(GROUP_STEP);
const decodeLast = textDecoder(LAST);
const decodeRenewed = decoder(RENEWED);
const RENEWED_WIDTH = Object.keys(RENEWED).length;
const decodeReaped = decoder(REAPED);
const REAPED_WIDTH = Object.keys(REAPED).length;
const decodeLost = decoder(LOST);
const LOST_WIDTH = Object.keys(LOST).length;
const decodeLoss = textDecoder(LOSS);

/** What `read.lua` answers of one user. */
export type ReadReply = readonly (string | number)[];

/** What `renew.lua` answers: the list RENEWED, the foreign keys, then user and loss by turns. */
export function parseRenewAnswer(reply: readonly (number | string)[]): RenewAnswer {
  const { restore, onlineCount, world, foreignCount } = decodeRenewed(reply);
  const rest = reply.slice(RENEWED_WIDTH);
  const foreign = rest.slice(0, foreignCount).map(String);
  const flat = rest.slice(foreignCount);
  const losses: Loss[] = [];
  for (let index = 0; index + 1 < flat.length; index += 2) {
    losses.push(parseLoss(Number(flat[index]), String(flat[index + 1])));
  }
  return {
    restore: restore === 1,
    world,
    onlineCount,
    losses,
    foreign,
  };
}

/** The losses that a script caused, at the end of its answer: the list LOST for each. */
export function parseLost(flat: readonly string[]): LostByNodes {
  const lost = new Map<string, Loss[]>();
  for (let index = 0; index < flat.length; index += LOST_WIDTH) {
    const { node, userId, loss } = decodeLost(flat.slice(index, index + LOST_WIDTH));
    const ofNode = lost.get(node) ?? [];
    ofNode.push(parseLoss(userId, loss));
    lost.set(node, ofNode);
  }
  return lost;
}

/** What `reap.lua` answers: the list REAPED, then the periods that ended. */
export function parseReapAnswer(reply: readonly (string | number)[]): ReapAnswer {
  const { orphans, nextDeathMs } = decodeReaped(reply);
  return {
    orphans,
    nextDeathMs: nextDeathMs < 0 ? undefined : nextDeathMs,
    ended: reply.slice(REAPED_WIDTH).map((text) => parseEndedPeriod(String(text).split(ANSWERED))),
  };
}

export function parseClaimAnswer(text: string): ClaimAnswer {
  const [kind = '', ...fields] = text.split(ANSWERED);
  switch (kind) {
    case 'opened': {
      const { unsettled, groups, ...opened } = decodeAccepted(fields);
      return {
        kind,
        ...opened,
        unsettled: unsettled === '' ? undefined : Number(unsettled),
        ...groupsIn(groups),
      };
    }
    case 'joined': {
      const { period, epoch, loginTime, groups } = decodeAccepted(fields);
      return { kind, period, epoch, loginTime, ...groupsIn(groups) };
    }
    case 'ended':
      return { kind, end: parseEndedPeriod(fields) };
    case 'blocked':
    case 'session-exists':
    case 'session-flapping':
      return { kind: 'refused', code: kind };
    case 'held':
      return { kind, ...groupsIn(fields[0] ?? '') };
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
  const [kind = '', ...fields] = text.split(ANSWERED);
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

function groupsIn(groups: string): { readonly groups?: string } {
  return groups === '' ? {} : { groups };
}

export function parseGroupAnswer(text: string): GroupAnswer {
  const [kind = '', ...fields] = text.split(ANSWERED);
  switch (kind) {
    case 'member':
    case 'removed':
      return fields.length === 0 ? { kind } : { kind, step: decodeGroupStep(fields) };
    case 'offline':
    case 'full':
    case 'young':
    case 'no-lease':
      return { kind };
    default:
      throw new Error(`groups.lua answered ${JSON.stringify(text.slice(0, 100))}`);
  }
}

function parseLoss(userId: number, text: string): Loss {
  const { rev, reason, note } = decodeLoss(text);
  return { userId, rev, reason: reason as Loss['reason'], ...(note === '' ? {} : { note }) };
}

function parseEndedPeriod(fields: readonly string[]): EndedPeriod {
  const { reason, ...ended } = decodeEnded(fields);
  assert(reason !== '', 'an ended period has all its fields');
  return { ...ended, reason: reason as LogoutReason };
}

/** The period that runs, or that is about to open. */
export function parseRunning(reply: ReadReply | undefined): RunningPeriod | undefined {
  if (reply === undefined) return undefined;
  const { period, epoch, holders } = decodeUser(reply);
  return holders > 0 ? { period, epoch } : undefined;
}

/** Time until the block of the user ends, in ms; 0: no block. */
export function parseBlockLeft(reply: ReadReply | undefined): number {
  return reply === undefined ? 0 : decodeUser(reply).blockLeftMs;
}

export function parseUserRecord(userId: number, reply: ReadReply | undefined): UserRecord | undefined {
  if (reply === undefined) return undefined;
  const user = decodeUser(reply);
  const { ip, epoch } = user;
  const known = { userId, username: user.username === '' ? undefined : user.username, ip, epoch };
  if (user.recorded === 1 && user.holders > 0) {
    return {
      ...known,
      status: 'online',
      loginTime: user.loginTime,
      lastHeartbeat: user.proof,
      logoutTime: undefined,
      sockets: user.sockets,
      socketsElsewhere: user.socketsElsewhere,
      period: user.period,
    };
  }
  if (user.last === '') return undefined;
  const { period, loginTime, lastHeartbeat, logoutTime } = decodeLast(user.last);
  assert(!Number.isNaN(logoutTime), 'a last period has its times');
  return {
    ...known,
    status: 'offline',
    loginTime,
    lastHeartbeat,
    logoutTime,
    sockets: 0,
    socketsElsewhere: 0,
    period,
  };
}
