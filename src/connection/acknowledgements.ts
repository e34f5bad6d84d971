import type { Clock, Timer } from '../lib/clock.ts';

/** Largest number of users in all open waits together. Beyond it, a push does not wait. */
const MAX_ASKED = 100_000;

/** The wait of one push for the `ack` frames of its receivers. It has one timer for all of them. */
export interface AckWait {
  /** Whether an answer is still missing. */
  readonly isPending: boolean;
  /** These users got no message, so they will not answer. */
  giveUpOn(userIds: readonly number[]): void;
  /** Resolves with the users who acknowledged, when all have answered or the time is over. Never rejects. */
  readonly acked: Promise<ReadonlySet<number>>;
}

const NOBODY_ASKED: AckWait = {
  isPending: false,
  giveUpOn: () => undefined,
  acked: Promise.resolve(new Set()),
};

/** Waits of pushes for the `ack` of their clients. */
export class Acknowledgements {
  readonly #clock: Clock;
  /** By message id. */
  readonly #waits = new Map<string, Wait>();
  #asked = 0;
  #count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A new message id, unique in this process. */
  nextId(): string {
    this.#count += 1;
    return this.#count.toString(36);
  }

  /** Whether this many more users can be asked. */
  hasRoomFor(users: number): boolean {
    return this.#asked + users <= MAX_ASKED;
  }

  /** Waits for the acknowledgements of one message. Each user acknowledges the id that {@link receiverId} gives. */
  wait(id: string, expected: { readonly userIds: readonly number[]; readonly timeoutMs: number }): AckWait {
    const { userIds, timeoutMs } = expected;
    const asked = new Set(userIds);
    if (asked.size === 0 || !this.hasRoomFor(asked.size)) return NOBODY_ASKED;
    const { size } = asked;
    this.#asked += size;
    const wait = new Wait(asked, () => {
      this.#asked -= size;
      // A second wait for the same message must not remove the first one.
      if (this.#waits.get(id) === wait) this.#waits.delete(id);
    });
    wait.timer = this.#clock.after(timeoutMs, () => wait.finish());
    this.#waits.set(id, wait);
    return wait;
  }

  /** Ignores unknown ids and ids of other users' messages. */
  acknowledge(userId: number, id: string): void {
    const at = id.lastIndexOf('.');
    const messageId = id.slice(0, Math.max(0, at));
    if (receiverId(messageId, userId) !== id) return;
    this.#waits.get(messageId)?.acknowledge(userId);
  }
}

/** The id of a message in the copy of one receiver. */
export function receiverId(messageId: string, userId: number): string {
  return `${messageId}.${userId}`;
}

class Wait implements AckWait {
  readonly acked: Promise<ReadonlySet<number>>;
  timer: Timer | undefined;
  readonly #asked: Set<number>;
  readonly #answered = new Set<number>();
  readonly #ended: () => void;
  #resolve: (answered: ReadonlySet<number>) => void = () => undefined;
  #isOver = false;

  constructor(asked: Set<number>, ended: () => void) {
    this.#asked = asked;
    this.#ended = ended;
    this.acked = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get isPending(): boolean {
    return !this.#isOver;
  }

  giveUpOn(userIds: readonly number[]): void {
    if (this.#isOver) return;
    for (const userId of userIds) this.#asked.delete(userId);
    if (this.#asked.size === 0) this.finish();
  }

  acknowledge(userId: number): void {
    if (this.#isOver || !this.#asked.delete(userId)) return;
    this.#answered.add(userId);
    if (this.#asked.size === 0) this.finish();
  }

  finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.timer?.cancel();
    this.#ended();
    this.#resolve(this.#answered);
  }
}
