import { describe, expect, it } from 'vitest';
import { type Holdable, MassTimeoutBreaker } from '../../../src/heartbeat/mass-timeout-breaker.ts';
import { OFF_WHEEL, TimeoutWheel, type WheelNode } from '../../../src/heartbeat/timeout-wheel.ts';

const SHARE = 0.25;
/** No tick of these tests looks at this time. */
const LATER = 20_000;

class Silent implements Holdable {
  wheelSlot = OFF_WHEEL;
  wheelPrevious: WheelNode | undefined = undefined;
  wheelNext: WheelNode | undefined = undefined;
  isHeldBack = false;
  readonly #due: number;

  constructor(due: number) {
    this.#due = due;
  }

  dueAt(): number {
    return this.#due;
  }

  timesOutAt(): number {
    return this.#due;
  }
}

/** A breaker before a wheel, and what it reports. */
class Stage {
  readonly wheel = new TimeoutWheel<Silent>(0);
  /** The groups that were held back, and the bursts that are over. */
  readonly groups: number[] = [];
  readonly bursts: (readonly [held: number, all: number])[] = [];
  readonly #breaker: MassTimeoutBreaker;

  constructor(share = SHARE) {
    this.#breaker = new MassTimeoutBreaker({
      share,
      held: (count) => this.groups.push(count),
      burst: (held, all) => this.bursts.push([held, all]),
    });
  }

  add(count: number, due: number): this {
    for (let index = 0; index < count; index += 1) this.wheel.add(new Silent(due));
    return this;
  }

  /** As each tick does: the breaker looks ahead, then those who are due leave the wheel. */
  tick(now: number): this {
    this.#breaker.inspect(this.wheel, now);
    this.wheel.advance(now, Number.POSITIVE_INFINITY, () => undefined);
    return this;
  }
}

describe('MassTimeoutBreaker', () => {
  it('[HB6] holds back fifty, and nobody of forty-nine', () => {
    expect(new Stage().add(50, 500).tick(0).groups).toEqual([50]);
    expect(new Stage().add(49, 500).tick(0).groups).toEqual([]);
  });

  it('[HB6] holds back more than the share, and nobody of exactly the share', () => {
    expect(new Stage().add(61, 500).add(179, LATER).tick(0).groups).toEqual([61]);
    expect(new Stage().add(60, 500).add(180, LATER).tick(0).groups).toEqual([]);
  });

  it('[HB6] a share of 0 is off, a share of 1 holds nobody back', () => {
    expect(new Stage(0).add(60, 500).tick(0).groups).toEqual([]);
    expect(new Stage(1).add(60, 500).tick(0).groups).toEqual([]);
  });

  it('[HB6] looks ahead one second, its end included', () => {
    expect(new Stage().add(50, 1000).tick(0).groups).toEqual([50]);
    expect(new Stage().add(30, 1000).add(30, 1500).tick(0).groups).toEqual([]);
  });

  it('[HB6] holds back a few who would time out within a second of a burst', () => {
    const stage = new Stage().add(60, 500).tick(0).tick(500);
    expect(stage.wheel.size).toBe(0);
    expect(stage.add(3, 1400).tick(600).groups).toEqual([60, 3]);
    expect(stage.bursts).toEqual([]);
    expect(stage.tick(1600).bursts).toEqual([[63, 3]]);
  });

  it('[HB6] a burst is over a second after its last group: it is reported, and a few may time out', () => {
    const stage = new Stage().add(60, 500).tick(0).tick(999);
    expect(stage.bursts).toEqual([]);
    expect(stage.add(3, 1800).tick(1000).bursts).toEqual([[60, 60]]);
    expect(stage.groups).toEqual([60]);
  });

  it('[HB6] reports a burst that goes on every ten seconds', () => {
    const stage = new Stage();
    for (let now = 3000; now < 13_000; now += 500) stage.add(60, now + 500).tick(now);
    expect([stage.groups.length, stage.bursts]).toEqual([20, []]);
    stage.add(60, 13_500).tick(13_000);
    expect(stage.bursts).toEqual([[1200, expect.any(Number)]]);
    expect(stage.tick(14_000).bursts[1]).toEqual([60, expect.any(Number)]);
  });
});
