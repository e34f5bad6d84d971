import type { Evidence, PeriodEntry } from './books.ts';
import type { FeedEvent } from './feed.ts';
import { ROUNDING_MS, type UserCase } from './user-case.ts';
import type { Violation } from './verdict.ts';
import type { World } from './world.ts';

type Judgement = Omit<Violation, 'userId'>;

/** The feed is read at least this often. Entries that were not read before a wipe are lost. */
const UNREAD_MS = 3_000;
const DEATH_TOLD_MS = 3_000;

/** Stale: no socket was closed, and no user reported as offline, in contradiction to the facts of the client. */
export function judgeClosings(of: UserCase): readonly Judgement[] {
  const { facts, world, timeouts } = of;
  const stale = (text: string): Judgement => ({ kind: 'stale', text });
  const closings = facts.closings.flatMap((closing) => {
    const { code, at, lineFrom, life, provenAt, byClient } = closing;
    const text = `closed ${code} by ${life.name} at ${at}`;
    switch (code) {
      case 4100:
        return at - provenAt < timeouts.socket - ROUNDING_MS
          ? [stale(`${text}, ${at - provenAt} ms after a proof that was heard`)]
          : [];
      case 4001: {
        const isTaken = facts.logins.some(
          (login) =>
            login.via !== 'http' &&
            login.from <= at &&
            (login.outcome === 'unknown' ? of.latest(login) >= lineFrom : login.from > lineFrom),
        );
        return isTaken ? [] : [stale(`${text}, and nobody took over`)];
      }
      case 4000: {
        const isAsked = facts.logouts.some((logout) => logout.from <= at && of.latest(logout) >= lineFrom);
        // The client records a logout message after its socket is closed.
        return isAsked ? [] : [stale(`${text}, and nobody asked for it`)];
      }
      case 1012:
        return life.endedAt + DEATH_TOLD_MS > at && life.end !== undefined
          ? []
          : [stale(`${text} by a living node`)];
      case 1000:
      case 1005:
      case 1006:
        return byClient || (life.end !== undefined && Math.abs(at - life.endedAt) < DEATH_TOLD_MS)
          ? []
          : [stale(`${text} by a living node`)];
      default:
        return [stale(text)];
    }
  });
  const denials = facts.denials.flatMap(({ from, to, what, epoch }) => {
    const proof = of.proofs.findLast((candidate) => {
      const keptFor = of.keptFor(candidate, to);
      return keptFor !== undefined && candidate.to <= from && to - candidate.from < keptFor - ROUNDING_MS;
    });
    if (proof === undefined) return [];
    const isExcused =
      facts.logouts.some((l) => l.outcome !== 'not-online' && l.from <= to && of.latest(l) >= proof.from) ||
      (epoch !== undefined &&
        (of.mayBeTaken(proof.from - 2 * world.timeoutMs, to) || (of.rowAt(to)?.period ?? 0) > epoch));
    return isExcused
      ? []
      : [
          stale(
            `${what} at ${from} to ${to} got "not online" ${to - proof.from} ms after a proof on ${proof.life.name}`,
          ),
        ];
  });
  return [...closings, ...denials];
}

/** Compares the feed with SQL: each end once, equal to its row, and in order. */
export function judgeFeed(
  feed: Evidence['feed'],
  periods: ReadonlyMap<number, readonly PeriodEntry[]>,
  world: World,
): readonly Violation[] {
  const found: Violation[] = [];
  // Ends that Redis recorded just before a wipe may be missing in SQL. A cursor has the time of the record.
  const isKept = ({ at, cursor }: FeedEvent): boolean => !world.wasWiped(at, Number.parseInt(cursor, 10));
  const ofUser = new Map<number, FeedEvent[]>();
  for (const event of feed.events) ofUser.set(event.userId, [...(ofUser.get(event.userId) ?? []), event]);
  for (const [userId, events] of ofUser)
    found.push(
      ...judgeOrder(userId, events.filter(isKept)).map(
        (text): Violation => ({ kind: 'double', userId, text }),
      ),
    );
  for (const [userId, rows] of periods) {
    const ends = (ofUser.get(userId) ?? []).filter(({ type }) => type === 'offline');
    for (const row of rows) {
      const own = ends.filter(({ period }) => period === row.period);
      const kept = own.filter(isKept);
      if (kept.length > 1)
        found.push({ kind: 'double', userId, text: `${row.period} has ${kept.length} ends in the feed` });
      for (const { at, reason } of kept)
        if (at !== row.logoutAt || reason !== row.reason)
          found.push({
            kind: 'missing',
            userId,
            text: `${row.period} ended in the feed as ${reason} at ${at}, in SQL as ${row.reason} at ${row.logoutAt}`,
          });
      const isUnread = world.wipes.all.some(
        (wipe) => row.logoutAt <= wipe.to && row.settledAt >= wipe.from - UNREAD_MS,
      );
      if (own.length === 0 && row.reason !== 'reconciled' && !isUnread)
        found.push({ kind: 'missing', userId, text: `${row.period} (${row.reason}) has no end in the feed` });
    }
    for (const { period } of ends)
      if (!rows.some((row) => row.period === period))
        found.push({ kind: 'missing', userId, text: `${period} ended in the feed and has no row` });
  }
  if (feed.expired > world.wipes.all.length)
    found.push({ kind: 'missing', userId: 0, text: `the feed refused its cursor ${feed.expired} times` });
  return found;
}

function judgeOrder(userId: number, events: readonly FeedEvent[]): readonly string[] {
  const texts: string[] = [];
  let newest: FeedEvent | undefined;
  for (const event of events) {
    if (newest !== undefined) {
      const isLater =
        event.period > newest.period || (event.period === newest.period && newest.type === 'online');
      if (!isLater)
        texts.push(
          `the feed tells ${event.type} of ${event.period} after ${newest.type} of ${newest.period}`,
        );
    }
    newest = event;
  }
  return texts.map((text) => `${text} (user ${userId})`);
}
