import { describe, expect, it } from 'vitest';
import type { Claim, ClaimAnswer } from '../../src/presence/store/port.ts';
import { callerOf, claimOf, found, playedOn } from './excuse-scenes.ts';
import { nodesOf, type Stage, stageOn } from './stage.ts';

const played = playedOn(stageOn('the rules'));
const TAKEN = 'takes a heartbeat by HTTP of user 1';

/** Redis answers a claim of node 1. */
function answers(stage: Stage, mode: Claim['mode'], answer: ClaimAnswer): void {
  stage.heartbeats.claimed(claimOf({ mode }), answer, callerOf('n1'));
}

function takesHeartbeat(stage: Stage, node = nodesOf(stage)[0]): void {
  stage.heartbeats.taken(node, 1, stage.scheduler.now);
}

describe('a node that accepts a heartbeat by HTTP after Redis took the user from it', () => {
  it.each([
    ['0.6 s after Redis said so', 600, true],
    ['0.4 s after that', 400, false],
  ])('[PR1] %s', (_, ms, isFound) =>
    played((stage) => {
      answers(stage, 'state', { kind: 'gone' });
      stage.scheduler.suspend(ms);
      takesHeartbeat(stage);
      expect(found(stage).includes(TAKEN)).toBe(isFound);
    })(),
  );

  it(
    '[PR1] the first answer of Redis counts',
    played((stage) => {
      answers(stage, 'state', { kind: 'gone' });
      stage.scheduler.suspend(400);
      answers(stage, 'socket', { kind: 'gone' });
      stage.scheduler.suspend(200);
      takesHeartbeat(stage);
      expect(found(stage)).toContain(TAKEN);
    }),
  );

  it.each([
    ['its claim after a restore got this answer, and the next claim will repeat it', 'restate', false],
    ['Redis took the user from another node', 'state', true],
  ] as const)('[PR1] is right: %s', (_, mode, isOther) =>
    played((stage) => {
      answers(stage, mode, { kind: 'gone' });
      stage.scheduler.suspend(600);
      takesHeartbeat(stage, nodesOf(stage)[isOther ? 1 : 0]);
      expect(found(stage)).toBe('');
    })(),
  );

  const accepted = { period: 1, epoch: 1, loginTime: 1 };
  it.each([
    ['joined', { kind: 'joined', ...accepted }],
    ['opened', { kind: 'opened', ...accepted, unsettled: undefined }],
    ['held', { kind: 'held' }],
  ] as const)('[PR1] is right once it is %s again', (_, answer) =>
    played((stage) => {
      answers(stage, 'state', { kind: 'gone' });
      answers(stage, 'beat', answer);
      stage.scheduler.suspend(600);
      takesHeartbeat(stage);
      expect(found(stage)).toBe('');
    })(),
  );

  it.each([
    ['is cut off', 'troubles'],
    ['is frozen', 'frozen'],
    ['has a bad line', 'badLine'],
    ['cannot reach a stalled Redis', 'redisAway'],
  ] as const)('[PR1] may not know of it yet if it %s', (_, kind) =>
    played((stage) => {
      const [n1] = nodesOf(stage);
      const spells = kind === 'redisAway' ? stage.witness.redisAway : n1[kind];
      answers(stage, 'state', { kind: 'gone' });
      spells.add(stage.scheduler.now, stage.scheduler.now + 300);
      stage.scheduler.suspend(600);
      takesHeartbeat(stage);
      expect(found(stage)).toBe('');
      // Once the node knows, an earlier trouble excuses nothing.
      answers(stage, 'beat', { kind: 'held' });
      answers(stage, 'state', { kind: 'gone' });
      stage.scheduler.suspend(600);
      takesHeartbeat(stage);
      expect(found(stage)).toContain(TAKEN);
    })(),
  );
});
