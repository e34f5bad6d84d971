import { isOnline } from '../../../src/presence/rules/record.ts';
import { type Slot, USERS } from '../model/actions.ts';
import type { Line } from '../model/book.ts';
import { TICK_MS } from '../model/link.ts';
import { type Play, START_MS } from '../model/play.ts';
import type { NodeState, Texts } from './texts.ts';

const HOUR_MS = 3_600_000;

/** The data of a node on the page. */
export function nodeState(play: Play, slot: Slot): NodeState {
  const node = play.faults.nodeOf(slot);
  if (!node.isUp) return 'dead';
  if (node.clock.isFrozen) return 'frozen';
  if (node.link.cut) return 'cut';
  if (!node.accepts) return 'starting';
  return node.tracker.available ? 'up' : 'unavailable';
}

export type UserTone = 'good' | 'warn' | 'off';

/** The present state of a user in words, and its colour. */
export function userState(play: Play, user: number, texts: Texts): { text: string; tone: UserTone } {
  const { userStates } = texts;
  const tabs = play.players.tabsOf(user);
  const node = tabs.find(({ socket }) => socket?.isOpen === true)?.socket?.node.name;
  const record = play.deployment.redis.world.records.get(user);
  const isShown = isOnline(record);
  if (node !== undefined && play.players.isSilent(user))
    return { text: userStates.silent(node), tone: 'warn' };
  if (node !== undefined && isShown) return { text: userStates.online(node), tone: 'good' };
  if (node !== undefined) return { text: userStates.unknown, tone: 'warn' };
  if (tabs.some(({ isBusy }) => isBusy)) return { text: userStates.connecting, tone: 'warn' };
  if (isShown) return { text: userStates.lingering, tone: 'warn' };
  return { text: userStates.offline, tone: 'off' };
}

export function storeFacts({ deployment }: Play): { online: number; orders: number } {
  const { world, duties } = deployment.redis;
  return { online: world.onlineCount, orders: duties.size };
}

export function sqlFacts({ deployment }: Play): { open: number; settled: number } {
  const rows = [...deployment.sql.rows.values()];
  const open = rows.filter(({ settledAt }) => settledAt === null).length;
  return { open, settled: rows.length - open };
}

/** Simulated milliseconds since the history began. */
export function elapsed(play: Play): number {
  return play.tick * TICK_MS;
}

export function clockText(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 100));
  const minutes = Math.floor(total / 600);
  const rest = ((total % 600) / 10).toFixed(1).padStart(4, '0');
  return `${minutes}:${rest}`;
}

/** A bar of the timeline, in simulated milliseconds since the history began. */
export interface Bar {
  readonly key: string;
  readonly from: number;
  /** Time counts until here. */
  readonly counted: number;
  /** Until here, no part had noticed that time no longer counts. */
  readonly until: number;
  readonly settledAt: number | undefined;
  readonly isWrong: boolean;
}

export function barsOf(play: Play, user: number): readonly Bar[] {
  const now = elapsed(play);
  return linesOf(play)
    .filter((line) => line.user === user)
    .map((line) => {
      const from = line.openedAt - START_MS;
      const until =
        line.endedAt === undefined ? (line.settledAt ?? now + START_MS) - START_MS : line.endedAt - START_MS;
      return {
        ...{ key: line.key, from, until },
        counted: line.settledAt === undefined ? until : Math.min(until, from + line.gainedMs),
        settledAt: line.settledAt === undefined ? undefined : line.settledAt - START_MS,
        isWrong: line.isLost || line.isTwice,
      };
    });
}

export function linesOf(play: Play): readonly Line[] {
  return [...play.book.lines.values()];
}

/** Hours by which the store's clock jumped during the period, if the gained time shows the jump. */
export function jumpOf(play: Play, line: Line): number {
  if (line.settledAt === undefined) return 0;
  const end = line.endedAt ?? line.settledAt;
  const beyondMs = line.gainedMs - (end - line.openedAt);
  if (beyondMs <= HOUR_MS && line.gainedMs > 0) return 0;
  return play.log.reduce((sum, entry) => {
    const at = START_MS + entry.tick * TICK_MS;
    const isJump = entry.kind === 'press' && entry.action.kind === 'step-store';
    return isJump && at >= line.openedAt && at <= end ? sum + entry.action.hours : sum;
  }, 0);
}

/** The gains of each user from written periods. */
export function gainedOf(play: Play): readonly { user: number; ms: number }[] {
  return USERS.map((user) => ({
    user,
    ms: linesOf(play)
      .filter((line) => line.user === user && line.state === 'settled')
      .reduce((sum, { gainedMs }) => sum + gainedMs, 0),
  }));
}
