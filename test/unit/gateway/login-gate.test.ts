import { describe, expect, test } from 'vitest';
import { LoginGate } from '../../../src/gateway/login-gate.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { err, ok } from '../../../src/lib/result.ts';
import { silentLog } from '../../../src/logging/log.ts';

/** Largest number of users with a login in progress: in a calm loop, and in the busiest one. */
const AT_A_TIME = 1_024;
const AT_LEAST = 64;

/** Users from this number on are held here. Those from the next number on linger on another node. */
const FIRST_HELD = 1_000_000;
const FIRST_ELSEWHERE = 2_000_000;

function openGate() {
  const clock = new FakeClock();
  const proven: number[] = [];
  const gate = new LoginGate({
    clock,
    presence: {
      holdsHere: (userId) => userId >= FIRST_HELD && userId < FIRST_ELSEWHERE,
      async heartbeat(userId) {
        if (userId < FIRST_HELD) return err('not-online');
        proven.push(userId);
        return ok({ lastHeartbeat: 1 });
      },
    },
    log: silentLog,
  });
  const admitted: number[] = [];
  const refused: number[] = [];
  const gone = new Set<number>();
  let next = 0;
  /** A login that records whether it got its turn. */
  const enter = (userId: number): void => {
    const answer = gate.enter({ userId, client: { hasLeft: () => gone.has(userId) } });
    void Promise.resolve(answer).then((hasTurn) => (hasTurn ? admitted : refused).push(userId));
  };
  /** This many new users without a hold anywhere. */
  const storm = (count: number): void => {
    for (let done = 0; done < count; done += 1) enter(next++);
  };
  /** Waits until decisions have reached the lists. */
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  /** The loop is blocked for `ms`, and then turns. */
  const block = (ms: number): void => {
    clock.stall(ms);
    clock.advance(0);
  };
  return { clock, gate, proven, admitted, refused, gone, enter, storm, settle, block };
}

describe('the gate of logins', () => {
  test('[DR3] gives every login its turn at once while the node has capacity', () => {
    const { gate } = openGate();
    for (let userId = 0; userId < AT_A_TIME; userId += 1)
      expect(gate.enter({ userId, client: { hasLeft: () => false } })).toBe(true);
    expect(gate.waiting).toBe(0);
  });

  test('[DR3] makes the others wait, and gives the next one its turn when one has ended', async () => {
    const { gate, storm, settle, admitted } = openGate();
    storm(AT_A_TIME + 3);
    await settle();
    expect(admitted).toHaveLength(AT_A_TIME);
    expect(gate.waiting).toBe(3);
    gate.leave(0);
    gate.leave(1);
    await settle();
    expect(admitted.slice(AT_A_TIME)).toEqual([AT_A_TIME, AT_A_TIME + 1]);
    expect(gate.waiting).toBe(1);
  });

  test('[DR3] users who are held here come first, and the wait does not log them out', async () => {
    const { gate, storm, enter, settle, admitted, proven } = openGate();
    storm(AT_A_TIME + 1);
    enter(FIRST_HELD);
    enter(FIRST_HELD + 1);
    expect(proven).toEqual([FIRST_HELD, FIRST_HELD + 1]);
    for (const user of [0, 1, 2]) gate.leave(user);
    await settle();
    expect(admitted.slice(AT_A_TIME)).toEqual([FIRST_HELD, FIRST_HELD + 1, AT_A_TIME]);
  });

  test('[DR3] [DR4] users who linger on another node come before new logins too', async () => {
    const { gate, storm, enter, settle, admitted, proven } = openGate();
    storm(AT_A_TIME + 2);
    enter(FIRST_ELSEWHERE);
    await settle();
    expect(proven).toEqual([FIRST_ELSEWHERE]);
    expect(gate.waiting).toBe(3);
    for (const user of [0, 1, 2]) gate.leave(user);
    await settle();
    expect(admitted.slice(AT_A_TIME)).toEqual([FIRST_ELSEWHERE, AT_A_TIME, AT_A_TIME + 1]);
    expect(gate.waiting).toBe(0);
  });

  test('[DR3] refuses a login that has waited for 2 s, and none before', async () => {
    const { clock, gate, storm, enter, settle, refused } = openGate();
    storm(AT_A_TIME);
    enter(AT_A_TIME);
    enter(FIRST_HELD);
    clock.advance(1_950);
    await settle();
    expect(refused).toEqual([]);
    clock.advance(50);
    await settle();
    expect(refused).toEqual([FIRST_HELD, AT_A_TIME]);
    expect(gate.waiting).toBe(0);
  });

  test('[DR3] the line of users who are not held here is bounded, and leaves room for the others', async () => {
    const { gate, storm, enter, settle, refused } = openGate();
    storm(AT_A_TIME + 10_000);
    enter(500_000);
    enter(FIRST_HELD);
    await settle();
    expect(refused).toEqual([500_000]);
    expect(gate.waiting).toBe(10_001);
  });

  test('[DR3] many logins of one user take one place, and only a limited number of them wait', async () => {
    const { gate, storm, enter, settle, admitted, refused } = openGate();
    for (let count = 0; count < 5_000; count += 1) enter(FIRST_HELD);
    storm(AT_A_TIME - 1);
    await settle();
    expect(admitted).toHaveLength(5_000 + AT_A_TIME - 1);
    for (let count = 0; count < 20; count += 1) enter(700_000);
    await settle();
    expect(gate.waiting).toBe(1);
    expect(refused).toEqual([700_000, 700_000, 700_000, 700_000]);
    for (let count = 0; count < 5_000; count += 1) gate.leave(FIRST_HELD);
    await settle();
    expect(admitted.filter((user) => user === 700_000)).toHaveLength(16);
  });

  test('[DR3] a user with a login in progress needs no second place, and gives it back with the last one', async () => {
    const { gate, storm, settle, admitted } = openGate();
    storm(AT_A_TIME + 1);
    expect(gate.enter({ userId: 0, client: { hasLeft: () => false } })).toBe(true);
    gate.leave(0);
    await settle();
    expect(admitted).toHaveLength(AT_A_TIME);
    gate.leave(0);
    await settle();
    expect(admitted).toHaveLength(AT_A_TIME + 1);
  });

  test('[DR3] a client that left gets no turn', async () => {
    const { gate, storm, settle, gone, admitted, refused } = openGate();
    storm(AT_A_TIME + 2);
    gone.add(AT_A_TIME);
    gate.leave(0);
    await settle();
    expect(refused).toEqual([AT_A_TIME]);
    expect(admitted.at(-1)).toBe(AT_A_TIME + 1);
  });

  test('[DR3] a busy event loop admits fewer at a time, and a calm one all of them again', async () => {
    const { clock, gate, storm, settle, admitted, block } = openGate();
    storm(AT_A_TIME + 1_500);
    for (let looks = 0; looks < 12; looks += 1) block(160);
    for (let user = 0; user < AT_A_TIME; user += 1) gate.leave(user);
    await settle();
    expect(admitted).toHaveLength(AT_A_TIME + AT_LEAST);
    // Every check is in time now.
    clock.advance(50);
    await settle();
    expect(admitted).toHaveLength(AT_A_TIME + 2 * AT_LEAST);
  });

  test('[DR3] a busy event loop refuses no login if few logins wait', async () => {
    const { gate, storm, settle, refused, block } = openGate();
    for (let turn = 0; turn < 50; turn += 1) {
      storm(AT_LEAST);
      block(1_000);
      for (let user = turn * AT_LEAST; user < (turn + 1) * AT_LEAST; user += 1) gate.leave(user);
    }
    await settle();
    expect(refused).toEqual([]);
  });
});
