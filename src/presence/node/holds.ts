import type { CloseCause } from '../../protocol/close-codes.ts';
import { GroupMembers } from './group-members.ts';
import { type HoldOwner, UserHold } from './hold.ts';
import type { Proof } from './hold-state.ts';
import type { PresenceOptions } from './options.ts';
import type { Unstated } from './unstated.ts';

export type HoldsOptions = Pick<
  PresenceOptions,
  'time' | 'monitor' | 'log' | 'heartbeatTimeoutMs' | 'httpTimeoutMs'
>;

/** All that this node holds: one hold a user, the numbers of its statements, and the newest epoch that it knows of. */
export class Holds {
  readonly #options: HoldsOptions;
  readonly #unstated: Unstated;
  readonly #owner: HoldOwner;
  readonly #ofUser = new Map<number, UserHold>();
  readonly members = new GroupMembers();
  #rev = 0;
  #highestEpoch = 0;

  constructor(options: HoldsOptions, unstated: Unstated) {
    this.#options = options;
    this.#unstated = unstated;
    const { heartbeatTimeoutMs, httpTimeoutMs } = options;
    this.#owner = {
      timeouts: { heartbeatTimeoutMs, httpTimeoutMs },
      members: this.members,
      due: (hold) => unstated.stateSoon(hold),
    };
  }

  /** Users that this node holds, or is busy with. */
  get size(): number {
    return this.#ofUser.size;
  }

  [Symbol.iterator](): IterableIterator<UserHold> {
    return this.#ofUser.values();
  }

  get(userId: number): UserHold | undefined {
    return this.#ofUser.get(userId);
  }

  /** The user's hold; a new one where there is none. */
  of(userId: number): UserHold {
    const present = this.#ofUser.get(userId);
    if (present !== undefined) return present;
    const hold = new UserHold(userId, this.#owner);
    this.#ofUser.set(userId, hold);
    return hold;
  }

  /** Does `work` while no other statement about the user is under way. */
  async exclusively<Value>(userId: number, work: (hold: UserHold) => Promise<Value>): Promise<Value> {
    const hold = this.of(userId);
    const turn = hold.lock();
    if (turn !== undefined) await turn;
    // A hold that was dropped while this call waited lives on through it.
    this.#ofUser.set(userId, hold);
    try {
      return await work(hold);
    } finally {
      this.release(hold);
    }
  }

  /** Ends a turn. Drops a hold that holds nothing and that nobody is busy with. */
  release(hold: UserHold): void {
    hold.unlock();
    if (!hold.locked && hold.isAbsent) this.#ofUser.delete(hold.userId);
  }

  /** The number of the next statement: they rise, so that the store knows an older one. */
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

  /** This very moment, as a proof of life. */
  now(): Proof {
    const { time } = this.#options;
    return { observed: time.now(), monotonic: time.monotonic };
  }

  /** Watches a hold of a period without sockets: its linger or HTTP proof may run out. */
  watch(hold: UserHold): void {
    const { monitor } = this.#options;
    if (hold.sockets.length === 0 && hold.period > 0) monitor.watch(hold);
    else monitor.unwatch(hold);
  }

  /** Closes the sockets here: a newer connection has the user. */
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

  /** The period is over for this node: closes what is left of the user here, with `note` in the close frame. */
  forget(hold: UserHold, cause: CloseCause, note?: string): void {
    const { sockets } = hold;
    hold.forget();
    this.#options.monitor.unwatch(hold);
    this.#unstated.delete(hold);
    for (const socket of sockets) if (socket.kind === 'open') socket.connection.close(cause, 0, note);
  }

  /** The store knows that nothing is held here. A login may have come meanwhile: it waits for its turn. */
  end(hold: UserHold): void {
    hold.end();
    this.#options.monitor.unwatch(hold);
    this.release(hold);
  }
}
