import { beforeEach, describe, expect, it, vi } from 'vitest';
import { HeartbeatMonitor, type Watched } from '../../../src/heartbeat/monitor.ts';
import { ObservedTime } from '../../../src/heartbeat/observed-time.ts';
import { OFF_WHEEL, type WheelNode } from '../../../src/heartbeat/timeout-wheel.ts';
import type { Clock, Timer } from '../../../src/lib/clock.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';

class Patient implements Watched {
  wheelSlot = OFF_WHEEL;
  wheelPrevious: WheelNode | undefined = undefined;
  wheelNext: WheelNode | undefined = undefined;
  isHeldBack = false;
  due: number;
  attended: number[] = [];

  constructor(due: number) {
    this.due = due;
  }

  dueAt(): number {
    return this.due;
  }

  timesOutAt(): number {
    return this.due;
  }

  attend(now: number): boolean {
    this.attended.push(now);
    return false;
  }
}

/** A loop whose turns a test runs by hand: timers, then reads, then deferred calls. */
class Loop implements Clock {
  time = 0;
  #tick: (() => void) | undefined;
  #deferred: (() => void)[] = [];

  now(): number {
    return this.time;
  }
  monotonic(): number {
    return this.time;
  }
  after(): Timer {
    throw new Error('not used');
  }
  every(_interval: number, callback: () => void): Timer {
    this.#tick = callback;
    return { cancel: () => undefined };
  }
  defer(callback: () => void): Timer {
    this.#deferred.push(callback);
    return { cancel: () => undefined };
  }

  turn(reads: () => void = () => undefined): void {
    this.#tick?.();
    reads();
    this.spin();
  }

  /** A turn without a tick. */
  spin(): void {
    const due = this.#deferred;
    this.#deferred = [];
    for (const callback of due) callback();
  }
}

describe('HeartbeatMonitor', () => {
  let clock: FakeClock;
  let monitor: HeartbeatMonitor;
  beforeEach(() => {
    clock = new FakeClock();
    monitor = new HeartbeatMonitor(clock, new ObservedTime(clock));
    monitor.start();
  });

  it('[HB4] finds due nodes within 100 ms and never early', () => {
    const patients = Array.from({ length: 200 }, (_, index) => new Patient(10_000 + index * 3.7));
    for (const patient of patients) monitor.watch(patient);
    clock.advance(12_000);
    for (const { due, attended } of patients) {
      expect(attended).toHaveLength(1);
      expect(attended[0]).toBeGreaterThanOrEqual(due);
      expect(attended[0]).toBeLessThanOrEqual(due + 100);
    }
  });

  it('[HB4] has one ticker, also when it is started twice', () => {
    const every = vi.spyOn(clock, 'every');
    const twice = new HeartbeatMonitor(clock, new ObservedTime(clock));
    twice.start();
    twice.start();
    expect(every).toHaveBeenCalledOnce();
  });

  it('[HB4] ticks every 50 ms, but every 25 ms while a user may time out or a token may expire within 50 ms', () => {
    const ticks: number[] = [];
    const time = new ObservedTime(clock);
    time.turned = () => void ticks.push(clock.monotonic());
    const counted = new HeartbeatMonitor(clock, time);
    const start = clock.monotonic();
    counted.start();
    const ticksUntil = (end: number): number[] => {
      ticks.length = 0;
      clock.advance(start + end - clock.monotonic());
      return ticks.map((at) => at - start);
    };
    expect(ticksUntil(200)).toEqual([50, 100, 150, 200]);
    counted.watch(new Patient(start + 330));
    expect(ticksUntil(500)).toEqual([250, 300, 325, 350, 375, 425, 475]);
    counted.expiries.watch({ expiry: undefined, expired: () => undefined }, clock.now() + 60);
    expect(ticksUntil(675)).toEqual([525, 550, 575, 600, 650]);
  });

  it('[HB4] finds a deadline within 100 ms that is set between two ticks', () => {
    clock.advance(1_001);
    const patient = new Patient(1_002);
    monitor.watch(patient);
    clock.advance(100);
    expect(patient.attended).toHaveLength(1);
  });

  it('[HB4] a deadline that moves earlier is found at its new time', () => {
    const patient = new Patient(10_000);
    monitor.watch(patient);
    patient.due = 500;
    monitor.watch(patient);
    clock.advance(600);
    expect(patient.attended).toHaveLength(1);
  });

  it('[HB4] checks 1,000 in one turn of the loop, and the rest in the next', () => {
    const loop = new Loop();
    const crowded = new HeartbeatMonitor(loop, new ObservedTime(loop));
    crowded.start();
    const patients = Array.from({ length: 1001 }, () => new Patient(0));
    for (const patient of patients) crowded.watch(patient);
    const seen = () => patients.filter(({ attended }) => attended.length === 1).length;
    loop.turn();
    expect(seen()).toBe(1000);
    loop.turn();
    expect(seen()).toBe(1001);
  });

  it('[CR1] 3,000 tokens of one exp end within 100 ms of it, 1,000 in one turn of the loop', () => {
    const loop = new Loop();
    const time = new ObservedTime(loop);
    const crowded = new HeartbeatMonitor(loop, time);
    crowded.start();
    let ended = 0;
    for (let token = 0; token < 3_000; token += 1)
      crowded.expiries.watch({ expiry: undefined, expired: () => void (ended += 1) }, 1_000);
    // Tokens also expire while presence is away.
    time.freeze();
    for (loop.time = 25; loop.time < 1_000; loop.time += 25) loop.turn();
    loop.turn();
    const counts = [ended];
    for (let turn = 0; turn < 4; turn += 1) {
      loop.spin();
      counts.push(ended);
    }
    expect(counts).toEqual([1_000, 2_000, 3_000, 3_000, 3_000]);
  });

  it('[HB6] holds back users who time out together, if it has a breaker', () => {
    const held: number[] = [];
    const bursts: (readonly number[])[] = [];
    const time = new ObservedTime(clock);
    const guarded = new HeartbeatMonitor(clock, time, {
      share: 0.3,
      held: (count) => held.push(count),
      burst: (...counts) => bursts.push(counts),
    });
    guarded.start();
    for (let index = 0; index < 60; index += 1) guarded.watch(new Patient(2000));
    clock.advance(1500);
    expect([held, bursts]).toEqual([[60], []]);
    // No check runs while time is frozen, so the report must not wait for the end of that.
    time.freeze();
    clock.advance(50);
    expect(bursts).toEqual([[60, 60]]);
  });

  it('[HB4] the rest of a large tick follows in the next turn of the loop', () => {
    const patients = Array.from({ length: 9000 }, () => new Patient(1000));
    for (const patient of patients) monitor.watch(patient);
    clock.advance(1100);
    expect(patients.every(({ attended }) => attended.length === 1)).toBe(true);
  });

  it('[HB5] a stall of 5 s times out only users who were within a second of their deadline', () => {
    const near = new Patient(3000);
    const far = new Patient(6000);
    monitor.watch(near);
    monitor.watch(far);
    clock.advance(2500);
    clock.stall(5000);
    clock.advance(600);
    expect(near.attended).toHaveLength(1);
    expect(far.attended).toHaveLength(0);
    clock.advance(2500);
    expect(far.attended).toHaveLength(1);
  });

  it('[PR10] times out no user while time is frozen', () => {
    const time = new ObservedTime(clock);
    const frozen = new HeartbeatMonitor(clock, time);
    frozen.start();
    const patient = new Patient(1000);
    frozen.watch(patient);
    clock.advance(900);
    time.freeze();
    clock.advance(3_600_000 / 60);
    expect(patient.attended).toHaveLength(0);
    time.thaw();
    clock.advance(200);
    expect(patient.attended).toHaveLength(1);
  });

  it('stops permanently', () => {
    const patient = new Patient(1000);
    monitor.watch(patient);
    clock.advance(900);
    monitor.stop();
    clock.advance(10_000);
    expect(patient.attended).toHaveLength(0);
  });

  describe('on a loop turned by hand', () => {
    let loop: Loop;
    let patient: Patient;
    beforeEach(() => {
      loop = new Loop();
      monitor = new HeartbeatMonitor(loop, new ObservedTime(loop));
      monitor.start();
      patient = new Patient(1000);
      monitor.watch(patient);
      for (loop.time = 25; loop.time < 990; loop.time += 25) loop.turn();
    });
    const heartbeat = () => {
      patient.due += 10_000;
    };

    it('[HB5] reads of the same turn come before the check of deadlines', () => {
      loop.time = 1010;
      loop.turn(heartbeat);
      expect(patient.attended).toEqual([]);
    });

    it('[HB5] a late tick waits one more turn, so that the loop first reads what arrived during the stall', () => {
      loop.time = 1600;
      loop.turn();
      expect(patient.attended).toEqual([]);
      loop.time = 1601;
      loop.turn(heartbeat);
      expect(patient.attended).toEqual([]);
    });

    it('[HB5] so does a check that is late because a reader delays the loop after the tick', () => {
      loop.time = 985;
      loop.turn(() => {
        loop.time = 1500;
      });
      loop.time = 1501;
      loop.turn(heartbeat);
      expect(patient.attended).toEqual([]);
    });

    it('[HB4] a loop that is always late still finds silent users', () => {
      for (let turn = 0; turn < 12; turn += 1) {
        loop.time += 150;
        loop.turn(() => {
          loop.time += 250;
        });
      }
      expect(patient.attended).toHaveLength(1);
    });
  });
});
