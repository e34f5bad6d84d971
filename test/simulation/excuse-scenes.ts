import { expect } from 'vitest';
import type { Caller } from '../../src/presence/rules/lease.ts';
import type { Claim } from '../../src/presence/store/port.ts';
import type { Duty } from '../../src/protocol/periods.ts';
import { nodesOf, type OnStage, type Stage } from './stage.ts';

/** The settlement of user 1 in `stage`, as if the period had just ended. */
export function dutyOf(stage: Stage, period: number, changed: Partial<Duty>): Omit<Duty, 'id'> {
  const at = stage.redis.wall;
  const times = { loginAt: period, logoutAt: at, lastSeenAt: at };
  return { userId: 1, period, node: 'n1', reason: 'logout', ...times, ...changed };
}

/** A claim about user 1. */
export function claimOf(changed: Partial<Claim>): Claim {
  const proofs = { sockets: 1, rivals: 0, socketMs: 10_000, httpMs: 0, proofAgeMs: 0, untilMs: 10_000 };
  const names = { proofMark: 'a', loginTime: 0, username: 'u1', ip: '', cause: '' };
  const groups = { tokenGroups: '', serviceGroups: '' };
  return {
    userId: 1,
    mode: 'socket',
    rev: 1,
    epoch: 1,
    floor: 0,
    period: 0,
    ...proofs,
    ...names,
    ...groups,
    ...changed,
  };
}

export function callerOf(node: string): Caller {
  return { node, lease: '', runId: '' };
}

export type Played = (play: (stage: Stage, period: number) => void) => () => Promise<void>;

/** A history on two nodes. User 1 is connected to the first node and plays. */
export function playedOn(onStage: OnStage): Played {
  return (play) =>
    onStage({}, (stage) => {
      stage.connect(stage.device(1), nodesOf(stage)[0]);
      stage.advance(8000);
      expect(stage.witness.violations).toEqual([]);
      play(stage, stage.period(1));
    });
}

export function found(stage: Stage): string {
  return stage.witness.violations.join('\n');
}
