import type { Bus } from '../../src/cluster/bus.ts';
import type { RevocationStore } from '../../src/gateway/revocations.ts';
import type { HeartbeatMonitor } from '../../src/heartbeat/monitor.ts';
import { ObservedTime } from '../../src/heartbeat/observed-time.ts';
import type { Clock } from '../../src/lib/clock.ts';
import type { Ledger } from '../../src/presence/node/ledger.ts';
import type { Claim, ClaimAnswer, Loss, PresenceStore } from '../../src/presence/store/port.ts';
import type { UserStore } from '../../src/settlement/user-store.ts';

export type MonitorPort = Pick<HeartbeatMonitor, 'watch' | 'unwatch'>;

/** The ports of a node that do something else than they should. Each node gets ports of its own. */
export interface BrokenPorts {
  readonly time?: (clock: Clock) => ObservedTime;
  readonly bus?: (bus: Bus) => Bus;
  readonly store?: (store: PresenceStore) => PresenceStore;
  readonly sql?: (sql: UserStore, store: PresenceStore) => UserStore;
  readonly ledger?: (ledger: Ledger) => Ledger;
  readonly revocations?: (store: RevocationStore) => RevocationStore;
  readonly monitor?: (monitor: MonitorPort) => MonitorPort;
  /** Whether a socket that its node closes with this code is closed. */
  readonly closes?: (code: number) => boolean;
}

/** The same port with other methods in the place of some. */
export function altered<Port extends object>(port: Port, changes: Partial<Port>): Port {
  return new Proxy(port, {
    get(target, name) {
      const changed: unknown = Reflect.get(changes, name);
      if (changed !== undefined) return changed;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** A time that nothing freezes. */
export class FreeRunningTime extends ObservedTime {
  override freeze(): void {}
}

/** A time that stays frozen once it was. */
export class FrozenForGood extends ObservedTime {
  override thaw(): void {}
}

/** What a node states is changed on its way to the store. */
export function statedOtherwise(change: (claim: Claim) => Claim): BrokenPorts {
  return { store: (store) => altered(store, { claim: (batch) => store.claim(batch.map(change)) }) };
}

/** What the store answers to statements of what is left is changed on its way to the node. */
export function answeredOtherwise(change: (answer: ClaimAnswer) => ClaimAnswer): BrokenPorts {
  return {
    store: (store) =>
      altered(store, {
        async claim(batch) {
          const answers = await store.claim(batch);
          return answers.map((answer, index) => (batch[index]?.mode === 'state' ? change(answer) : answer));
        },
      }),
  };
}

/** Where the store does not answer, the node gets this answer to its statements of one mode. */
export function answeredForStore(mode: Claim['mode'], answer: ClaimAnswer): BrokenPorts {
  return {
    store: (store) =>
      altered(store, {
        async claim(batch) {
          try {
            return await store.claim(batch);
          } catch (error) {
            if (batch.some((claim) => claim.mode !== mode)) throw error;
            return batch.map(() => answer);
          }
        },
      }),
  };
}

/** Statements of what is left wait for the next renewal. */
export function statedWithRenewal(store: PresenceStore): PresenceStore {
  const waiting: (() => void)[] = [];
  return altered(store, {
    async claim(batch) {
      if (batch.every(({ mode }) => mode === 'state'))
        await new Promise<void>((resolve) => void waiting.push(resolve));
      return store.claim(batch);
    },
    async renew(request) {
      for (const go of waiting.splice(0)) go();
      return store.renew(request);
    },
  });
}

/** Every other statement has the number of the one before: the store sees half of each number. */
export function numberedTwice(store: PresenceStore): PresenceStore {
  return altered(store, {
    claim: (batch) => store.claim(batch.map((claim) => ({ ...claim, rev: half(claim.rev) }))),
    unstated: (rev) => store.unstated(half(rev)),
    async renew(request) {
      const acknowledged = request.acknowledged.map((loss) => ({ ...loss, rev: half(loss.rev) }));
      const answer = await store.renew({ ...request, acknowledged });
      return { ...answer, losses: answer.losses.map((loss) => ({ ...loss, rev: 2 * loss.rev })) };
    },
  });
}

function half(rev: number): number {
  return Math.floor((rev + 1) / 2);
}

/** Losses name every statement of this node, also those that came later. */
export function losingTooMuch(store: PresenceStore): PresenceStore {
  const told = new Map<number, Loss>();
  return altered(store, {
    async renew(request) {
      const acknowledged = request.acknowledged.map((loss) => told.get(loss.userId) ?? loss);
      const answer = await store.renew({ ...request, acknowledged });
      for (const loss of answer.losses) told.set(loss.userId, loss);
      return {
        ...answer,
        losses: answer.losses.map((loss) => ({ ...loss, rev: Number.MAX_SAFE_INTEGER })),
      };
    },
  });
}

/** Notices of losses name every statement of their receiver, also those that came later. */
export function noticesOfTooMuch(bus: Bus): Bus {
  return altered(bus, {
    publish: (topic, text) =>
      bus.publish(topic, text.replaceAll(/\[(\d+),\d+,/g, `[$1,${Number.MAX_SAFE_INTEGER},`)),
  });
}

/** An open row of which presence knows nothing is settled at the first look. */
export function reconcilingAtOnce(sql: UserStore, store: Pick<PresenceStore, 'knows'>): UserStore {
  return altered(sql, {
    async openPeriods(page) {
      const rows = await sql.openPeriods(page);
      const known = await store.knows(rows);
      const lost = rows.filter((_, index) => known[index] !== true);
      const duties = lost.map(({ userId, period, loginAt, node }) => ({
        ...{ id: `${userId}:${period}`, userId, period, loginAt, node },
        ...{ lastSeenAt: loginAt, logoutAt: loginAt, reason: 'reconciled' as const },
      }));
      if (duties.length > 0) await sql.settle(duties, Math.max(...duties.map(({ loginAt }) => loginAt)));
      return rows;
    },
  });
}
