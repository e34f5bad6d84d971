import type { CloseCause } from '../../protocol/close-codes.ts';
import type { ChangedHolds } from './changed-holds.ts';
import { GroupMembers } from './group-members.ts';
import { type HoldOwner, UserHold } from './hold.ts';
import type { Proof } from './hold-state.ts';
import type { PresenceOptions } from './options.ts';

export type HoldsOptions = Pick<
  PresenceOptions,
  'time' | 'monitor' | 'log' | 'heartbeatTimeoutMs' | 'httpTimeoutMs'
>;

/** The holds of this node, one per user. It also numbers the claims, and knows the highest epoch that this node has seen. */
export class Holds {
  readonly #options: HoldsOptions;
  readonly #changed: ChangedHolds;
  readonly #owner: HoldOwner;
  readonly #ofUser = new Map<number, UserHold>();
  readonly members = new GroupMembers();
  #rev = 0;
  #highestEpoch = 0;

  constructor(options: HoldsOptions, changed: ChangedHolds) {
    this.#options = options;
    this.#changed = changed;
    const { heartbeatTimeoutMs, httpTimeoutMs } = options;
    this.#owner = {
      timeouts: { heartbeatTimeoutMs, httpTimeoutMs },
      members: this.members,
      due: (hold) => changed.claimSoon(hold),
    };
  }

  /** Users that this node holds, and users with a call in progress. */
  get size(): number {
    return this.#ofUser.size;
  }

  [Symbol.iterator](): IterableIterator<UserHold> {
    return this.#ofUser.values();
  }

  get(userId: number): UserHold | undefined {
    return this.#ofUser.get(userId);
  }

  /** The user's hold. If there is none, makes one. */
  of(userId: number): UserHold {
    const present = this.#ofUser.get(userId);
    if (present !== undefined) return present;
    const hold = new UserHold(userId, this.#owner);
    this.#ofUser.set(userId, hold);
    return hold;
  }

  /** Runs `work` while no other call about the user is in progress. */
  async exclusively<Value>(userId: number, work: (hold: UserHold) => Promise<Value>): Promise<Value> {
    const hold = this.of(userId);
    const turn = hold.lock();
    if (turn !== undefined) {
      await turn;
      // The hold may have been dropped while this call waited.
      this.#ofUser.set(userId, hold);
    }
    try {
      return await work(hold);
    } finally {
      this.release(hold);
    }
  }

  /** Unlocks the hold. Drops it if it holds nothing and no other call waits for it. */
  release(hold: UserHold): void {
    hold.unlock();
    if (!hold.locked && hold.isAbsent) this.#ofUser.delete(hold.userId);
  }

  /** The revision of the next claim. Revisions rise, so that the store recognises an older claim. */
  nextRev(): number {
    this.#rev += 1;
    return this.#rev;
  }

  get highestEpoch(): number {
    return this.#highestEpoch;
  }

  learnEpoch(epoch: number): void {
    this.#highestEpoch = Math.max(this.#highestEpoch, epoch);
  }

  /** The present moment, as a proof of life. */
  now(): Proof {
    const { time } = this.#options;
    return { observed: time.now(), monotonic: time.monotonic };
  }

  /** Watches a hold with a period and without sockets, because its linger or HTTP proof expires. */
  watch(hold: UserHold): void {
    const { monitor } = this.#options;
    if (hold.sockets.length === 0 && hold.period > 0) monitor.watch(hold);
    else monitor.unwatch(hold);
  }

  /** Closes the sockets of this node, because a newer connection replaces them. */
  evict(hold: UserHold): void {
    for (const socket of hold.evict()) {
      if (socket.kind === 'admitted') continue;
      const { userId, registration } = socket.connection;
      this.#options.log.info(
        { event: 'replaced', userId, connectionId: registration.connectionId, epoch: registration.epoch },
        'a newer connection took over',
      );
      socket.connection.close('replaced');
    }
  }

  /** The period is over for this node. Closes the user's sockets, with `note` in the close frame. */
  forget(hold: UserHold, cause: CloseCause, note?: string): void {
    const { sockets } = hold;
    hold.forget();
    this.#options.monitor.unwatch(hold);
    this.#changed.delete(hold);
    for (const socket of sockets) if (socket.kind === 'open') socket.connection.close(cause, 0, note);
  }

  /** The store knows that this node does not hold the user. A login may wait for the lock; it comes next. */
  end(hold: UserHold): void {
    hold.end();
    this.#options.monitor.unwatch(hold);
    this.release(hold);
  }
}
