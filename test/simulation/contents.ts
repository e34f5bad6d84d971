import { SmallMap } from '../../src/lib/small-map.ts';
import type { PresenceChange } from '../../src/presence/api.ts';
import type { PresenceWorld } from '../../src/presence/rules/claims.ts';
import type { Caller } from '../../src/presence/rules/lease.ts';
import type { Claim, ClaimAnswer, EndAnswer, EndRequest, ReapAnswer } from '../../src/presence/store/port.ts';
import type { Duty } from '../../src/protocol/periods.ts';
import type { DutyStream } from './duty-stream.ts';
import type { RevocationKeys } from './simulated-revocations.ts';

export interface RedisEvents {
  /** A script opened a period or minted an epoch. */
  minted(claim: Claim, answer: Extract<ClaimAnswer, { kind: 'opened' | 'joined' }>): void;
  claimed(claim: Claim, answer: ClaimAnswer, caller: Caller): void;
  /** An opening was given up that nobody had been told of. */
  withdrawn(userId: number, caller: Caller): void;
  ended(duty: Omit<Duty, 'id'>): void;
  endAsked(request: EndRequest, answer: EndAnswer): void;
  /** The service changed the groups of a user. */
  groupsChanged?(userId: number): void;
}

export const NOTHING_REAPED: ReapAnswer = { ended: [], ghosts: 0, nextDeathMs: undefined };

/** Everything that a wipe takes and a snapshot keeps. */
export interface Contents {
  readonly world: PresenceWorld;
  readonly duties: DutyStream;
  readonly revocations: RevocationKeys;
  /** Entries of the timelines, those of the feed among them, oldest first; empty where nobody asked for them. */
  readonly changes: PresenceChange[];
}

/** Puts a copy of `from` into contents that are still empty. */
export function copyInto(into: Contents, { world, duties, revocations, changes }: Contents): Contents {
  for (const [userId, record] of world.records) {
    const holds = new SmallMap([...record.holds].map(([node, hold]) => [node, { ...hold }]));
    into.world.records.set(userId, { ...record, holds });
  }
  into.world.leases.copyFrom(world.leases);
  into.world.losses.copyFrom(world.losses);
  into.world.onlineCount = world.onlineCount;
  into.duties.copyFrom(duties);
  into.revocations.copyFrom(revocations);
  into.changes.push(...changes);
  return into;
}
