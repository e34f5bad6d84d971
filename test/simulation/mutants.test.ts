import { afterEach, describe, expect, it, vi } from 'vitest';
import { ObservedTime } from '../../src/heartbeat/observed-time.ts';
import { NodePresence } from '../../src/presence/node-presence.ts';
import { UserHold } from '../../src/presence/user-hold.ts';
import { PresenceLedger } from '../../src/settlement/presence-ledger.ts';
import { Settler } from '../../src/settlement/settler.ts';
import { History } from './history.ts';
import type { Mutation } from './mutation.ts';
import { StoreLink } from './store-link.ts';

const SEED = 1;
/** Each mutant must be found within so many histories. */
const MAX_HISTORIES = 400;

/** What Redis or SQL does wrong. */
const STORE_MUTANTS: Readonly<Record<string, Mutation>> = {
  'a period ends without its duty': { dropsDuties: true },
  'a gap of the clock is charged in full': { chargesWholeGaps: true },
  'nobody waits for others to restore': { neverYoung: true },
  'nodes are not asked to restore': { neverRestores: true },
  'the highest epoch of a node is not heard': { forgetsHighestEpoch: true },
  'a take-over tells the loser nothing': { takeOverTellsNobody: true },
  'a late statement undoes a loss': { ignoresLosses: true },
  'an end does not look at the epoch': { endIgnoresEpoch: true },
  'an end compares with < instead of <=': { strictEnd: true },
  'a node is dead after 5 s': { reapsWithoutGrace: true, reapIgnoresDeadlines: true },
  'dead nodes are never reaped': { neverReaps: true },
  'a settlement does not close its row': { settleLosesRows: true },
};

/** What a node does wrong. */
const NODE_MUTANTS: Readonly<Record<string, () => void>> = {
  'timeouts do not freeze while presence is away': () => {
    vi.spyOn(ObservedTime.prototype, 'freeze').mockImplementation(() => undefined);
  },
  'the proofs of a socket that is gone are forgotten': () => {
    const remove = UserHold.prototype.removeSocket;
    vi.spyOn(UserHold.prototype, 'removeSocket').mockImplementation(function (this: UserHold, id) {
      const removed = remove.call(this, id);
      this.forgetProofs(Number.MAX_SAFE_INTEGER);
      return removed;
    });
  },
  'an ended period leaves its proofs behind': () => {
    vi.spyOn(UserHold.prototype, 'reset').mockImplementation(function (this: UserHold) {
      this.sockets = [];
    });
  },
  'a hold is never given back': () => {
    vi.spyOn(NodePresence.prototype, 'release').mockImplementation((hold) => hold.unlock());
  },
  'no linger is watched': () => {
    vi.spyOn(NodePresence.prototype, 'watch').mockImplementation(() => undefined);
  },
  'a late row is never written': () => {
    vi.spyOn(PresenceLedger.prototype, 'openLater').mockImplementation(() => undefined);
    vi.spyOn(StoreLink.prototype, 'takeDuties').mockImplementation(() => Promise.resolve([]));
  },
  'duties are acknowledged and not settled': () => {
    vi.spyOn(StoreLink.prototype, 'takeDuties').mockImplementation(async function (this: StoreLink) {
      await this.ackDuties([]);
      return [];
    });
  },
  'nobody settles': () => {
    vi.spyOn(Settler.prototype, 'start').mockImplementation(() => undefined);
    vi.spyOn(Settler.prototype, 'wake').mockImplementation(() => undefined);
  },
  'every socket claims a fresh proof': () => {
    const claim = UserHold.prototype.claim;
    vi.spyOn(UserHold.prototype, 'claim').mockImplementation(function (this: UserHold, mode, time, stated) {
      return { ...claim.call(this, mode, time, stated), proofAgeMs: 0, untilMs: 20_000 };
    });
  },
  'deadlines are stated half as long': () => {
    const claim = UserHold.prototype.claim;
    vi.spyOn(UserHold.prototype, 'claim').mockImplementation(function (this: UserHold, mode, time, stated) {
      const made = claim.call(this, mode, time, stated);
      return { ...made, untilMs: Math.round(made.untilMs / 2) };
    });
  },
};

/** The number of histories until one broke a rule; undefined where none did. */
async function foundAfter(mutation: Mutation): Promise<number | undefined> {
  for (let history = 0; history < MAX_HISTORIES; history += 1) {
    const { violations } = await new History({ seed: SEED, history, mutation }).run();
    if (violations.length > 0) return history + 1;
  }
  return undefined;
}

describe('the simulator finds what is broken on purpose', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it.each(Object.entries(STORE_MUTANTS))('in the stores: %s', { timeout: 60_000 }, async (_, mutation) => {
    expect(await foundAfter(mutation)).toBeDefined();
  });

  it.each(Object.entries(NODE_MUTANTS))('in a node: %s', { timeout: 60_000 }, async (_, mutate) => {
    mutate();
    expect(await foundAfter({})).toBeDefined();
  });
});
