import type { PresenceWorld } from '../../src/presence/rules/claims.ts';
import type { Claim, ClaimAnswer, EndAnswer, EndRequest } from '../../src/presence/store/port.ts';
import type { Duty } from '../../src/protocol/periods.ts';
import type { DutyStream } from './duty-stream.ts';

/** Who calls, and under what: as the first arguments of each script. */
export interface Caller {
  readonly node: string;
  readonly lease: string;
  readonly runId: string;
}

export interface RedisEvents {
  /** A script opened a period or minted an epoch. */
  minted(claim: Claim, answer: Extract<ClaimAnswer, { kind: 'opened' | 'joined' }>): void;
  claimed(claim: Claim, answer: ClaimAnswer, caller: Caller): void;
  /** An opening was given up that nobody had been told of. */
  withdrawn(userId: number, caller: Caller): void;
  ended(duty: Omit<Duty, 'id'>): void;
  endAsked(request: EndRequest, answer: EndAnswer): void;
}

export interface Lease {
  readonly lease: string;
  readonly seen: number;
  readonly restored: boolean;
}

/** Everything that a wipe takes and a snapshot keeps. */
export interface Contents {
  readonly world: PresenceWorld;
  readonly duties: DutyStream;
  readonly leases: Map<string, Lease>;
  readonly dead: Set<string>;
  /** Wall time at which the record of an offline user goes. */
  readonly expiries: Map<number, number>;
  known: boolean;
  clock: number;
  reading: number;
  run: string;
  birth: number;
  /** Rises with every birth. */
  generation: number;
  /** Of the present birth, as `renew.lua` names it. */
  name: string;
}

/** A copy that nobody else changes, in a `world` that is still empty. */
export function copyOf(contents: Contents, world: PresenceWorld): Contents {
  for (const [userId, record] of contents.world.records) {
    const holds = new Map([...record.holds].map(([node, hold]) => [node, { ...hold }]));
    world.records.set(userId, { ...record, holds });
  }
  for (const [node, seen] of contents.world.nodes) world.nodes.set(node, seen);
  for (const [node, losses] of contents.world.losses) world.losses.set(node, new Map(losses));
  world.highestEpoch = contents.world.highestEpoch;
  world.onlineCount = contents.world.onlineCount;
  return {
    ...contents,
    world,
    duties: contents.duties.copy(),
    leases: new Map(contents.leases),
    dead: new Set(contents.dead),
    expiries: new Map(contents.expiries),
  };
}
