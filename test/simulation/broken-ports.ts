import type { Bus } from '../../src/cluster/bus.ts';
import type { RevocationStore } from '../../src/gateway/revocations.ts';
import type { HeartbeatMonitor } from '../../src/heartbeat/monitor.ts';
import { ObservedTime } from '../../src/heartbeat/observed-time.ts';
import type { Clock } from '../../src/lib/clock.ts';
import type { Ledger } from '../../src/presence/node/ledger.ts';
import type { Claim, ClaimAnswer, Loss, PresenceStore } from '../../src/presence/store/port.ts';
import type { UserStore } from '../../src/settlement/user-store.ts';

export type MonitorPort = Pick<HeartbeatMonitor, 'watch' | 'unwatch'>;

/** The ports of a node that a mutant breaks. Each node gets its own ports. */
export interface BrokenPorts {
  readonly time?: (clock: Clock) => ObservedTime;
  readonly bus?: (bus: Bus) => Bus;
  readonly store?: (store: PresenceStore) => PresenceStore;
  readonly sql?: (sql: UserStore, store: PresenceStore) => UserStore;
  readonly ledger?: (ledger: Ledger) => Ledger;
  readonly revocations?: (store: RevocationStore) => RevocationStore;
  readonly monitor?: (monitor: MonitorPort) => MonitorPort;
  /** Whether a close with this code really closes the socket. */
  readonly closes?: (code: number) => boolean;
}

/** The same port, with some of its methods replaced. */
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

/** A clock that nothing freezes. */
export class FreeRunningTime extends ObservedTime {
  override freeze(): void {}
}

/** A clock that never thaws after its first freeze. */
export class FrozenForGood extends ObservedTime {
  override thaw(): void {}
}

/** Changes the claims of a node on their way to the store. */
export function statedOtherwise(change: (claim: Claim) => Claim): BrokenPorts {
  return { store: (store) => altered(store, { claim: (batch) => store.claim(batch.map(change)) }) };
}

/** Changes the store's answers to claims of mode `state` on their way to the node. */
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

/** If the store does not answer, the node gets this answer to its claims of one mode. */
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

/** Claims of mode `state` wait for the next renewal. */
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

/** Every second claim has the revision of the one before, because the store sees half of each revision. */
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

/** A loss covers every claim of this node, including later ones. */
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

/** A notice of a loss covers every claim of its receiver, including later ones. */
export function noticesOfTooMuch(bus: Bus): Bus {
  return altered(bus, {
    publish: (topic, text) =>
      bus.publish(topic, text.replaceAll(/\[(\d+),\d+,/g, `[$1,${Number.MAX_SAFE_INTEGER},`)),
  });
}

/** The first look settles an open row that presence does not know. */
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
