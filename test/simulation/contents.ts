import { SmallMap } from '../../src/lib/small-map.ts';
import type { PresenceChange } from '../../src/presence/api.ts';
import type { PresenceWorld } from '../../src/presence/rules/claims.ts';
import type { Caller } from '../../src/presence/rules/lease.ts';
import type { Claim, ClaimAnswer, EndAnswer, EndRequest, ReapAnswer } from '../../src/presence/store/port.ts';
import type { Duty, PeriodKey } from '../../src/protocol/periods.ts';
import type { DutyStream } from './duty-stream.ts';
import type { RevocationKeys } from './simulated-revocations.ts';

export interface RedisEvents {
  /** A script opened a period or minted an epoch. */
  minted(claim: Claim, answer: Extract<ClaimAnswer, { kind: 'opened' | 'joined' }>): void;
  claimed(claim: Claim, answer: ClaimAnswer, caller: Caller): void;
  /** A login by HTTP continues an opening. It mints no epoch. */
  continued?(opening: PeriodKey): void;
  /** A node gave up an opening before any client knew it. */
  withdrawn(userId: number, caller: Caller): void;
  ended(duty: Omit<Duty, 'id'>): void;
  endAsked(request: EndRequest, answer: EndAnswer): void;
  /** The service changed the groups of a user. */
  groupsChanged?(userId: number): void;
  /** A node brought newer groups of a running period back, which Redis had lost. */
  groupsReturned?(userId: number): void;
}

/** A base for listeners that need only some of the events. */
export const NOBODY: RedisEvents = {
  minted: () => undefined,
  claimed: () => undefined,
  withdrawn: () => undefined,
  ended: () => undefined,
  endAsked: () => undefined,
};

/** Passes each event of Redis to several listeners. */
export function audience(...listeners: readonly RedisEvents[]): RedisEvents {
  return {
    minted: (...args) => {
      for (const listener of listeners) listener.minted(...args);
    },
    claimed: (...args) => {
      for (const listener of listeners) listener.claimed(...args);
    },
    continued: (opening) => {
      for (const listener of listeners) listener.continued?.(opening);
    },
    withdrawn: (...args) => {
      for (const listener of listeners) listener.withdrawn(...args);
    },
    ended: (...args) => {
      for (const listener of listeners) listener.ended(...args);
    },
    endAsked: (...args) => {
      for (const listener of listeners) listener.endAsked(...args);
    },
    groupsChanged: (userId) => {
      for (const listener of listeners) listener.groupsChanged?.(userId);
    },
    groupsReturned: (userId) => {
      for (const listener of listeners) listener.groupsReturned?.(userId);
    },
  };
}

export const NOTHING_REAPED: ReapAnswer = { ended: [], orphans: 0, nextDeathMs: undefined };

/** Everything that a wipe removes and a snapshot keeps. */
export interface Contents {
  readonly world: PresenceWorld;
  readonly duties: DutyStream;
  readonly revocations: RevocationKeys;
  /** Entries of the timelines and the feed, oldest first. Empty if they are not kept. */
  readonly changes: PresenceChange[];
}

/** Copies `from` into empty contents. */
export function copyInto(into: Contents, { world, duties, revocations, changes }: Contents): Contents {
  for (const [userId, record] of world.records) {
    const holds = new SmallMap([...record.holds].map(([node, hold]) => [node, { ...hold }]));
    into.world.records.set(userId, { ...record, holds });
  }
  into.world.leases.copyFrom(world.leases);
  into.world.losses.copyFrom(world.losses);
  into.world.endings.copyFrom(world.endings);
  into.world.onlineCount = world.onlineCount;
  into.duties.copyFrom(duties);
  into.revocations.copyFrom(revocations);
  into.changes.push(...changes);
  return into;
}
