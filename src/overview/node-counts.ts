import type { Counters, Gauges } from '../metrics/counters.ts';
import { DETECTION_LAG_BUCKETS_S } from '../metrics/counters.ts';
import { DELIVERY_STATUSES, DROP_REASONS } from '../protocol/delivery.ts';
import { LOGOUT_REASONS } from '../protocol/reasons.ts';
import type { NodeCounts, Totals } from './api.ts';

export interface NodeSources {
  readonly counters: Counters;
  readonly gauges: Gauges;
  readonly isDraining: () => boolean;
  readonly uptimeMs: () => number;
}

/** The counts of this node. */
export function countsHere({ counters, gauges, isDraining, uptimeMs }: NodeSources): NodeCounts {
  return {
    uptimeMs: Math.round(uptimeMs()),
    connections: gauges.connections(),
    lingering: gauges.usersLingering(),
    draining: isDraining(),
    totals: {
      logins: counters.logins,
      heartbeats: counters.heartbeats,
      logouts: { ...counters.logouts },
      messages: { ...counters.messages },
      drops: { ...counters.dropped },
    },
    lag: [...counters.detectionLag.buckets],
    queues: {
      dispatch: gauges.dispatchQueueDepth(),
      dispatchCapacity: gauges.dispatchQueueCapacity(),
      send: gauges.queuedMessages(),
      sendCapacity: gauges.sendQueueCapacity(),
      loginsWaiting: gauges.loginsWaiting(),
      settlementsPending: gauges.settlementsPending(),
      pushStream: gauges.pushStreamLength(),
    },
    settlement: {
      available: gauges.settlementAvailable(),
      oldestAgeMs: Math.round(gauges.settlementOldestAgeMs()),
      setAside: gauges.settlementsSetAside(),
    },
  };
}

type Fields = Readonly<Record<string, unknown>>;

/** The counts in another node's answer. A value that is not a count reads as 0. Undefined: the answer has another form. */
export function readCounts(answer: unknown): NodeCounts | undefined {
  const fields = fieldsOf(answer);
  const totals = fieldsOf(fields?.['totals']);
  if (fields === undefined || totals === undefined) return undefined;
  const queues = fieldsOf(fields['queues']) ?? {};
  const settlement = fieldsOf(fields['settlement']) ?? {};
  const lag = Array.isArray(fields['lag']) ? fields['lag'] : [];
  return {
    uptimeMs: count(fields['uptimeMs']),
    connections: count(fields['connections']),
    lingering: count(fields['lingering']),
    draining: fields['draining'] === true,
    totals: readTotals(totals),
    lag: Array.from({ length: DETECTION_LAG_BUCKETS_S.length + 1 }, (_, index) => count(lag[index])),
    queues: {
      dispatch: count(queues['dispatch']),
      dispatchCapacity: count(queues['dispatchCapacity']),
      send: count(queues['send']),
      sendCapacity: count(queues['sendCapacity']),
      loginsWaiting: count(queues['loginsWaiting']),
      settlementsPending: count(queues['settlementsPending']),
      pushStream: count(queues['pushStream']),
    },
    settlement: {
      available: settlement['available'] === true,
      oldestAgeMs: count(settlement['oldestAgeMs']),
      setAside: count(settlement['setAside']),
    },
  };
}

function readTotals(totals: Fields): Totals {
  return {
    logins: count(totals['logins']),
    heartbeats: count(totals['heartbeats']),
    logouts: readRecord(LOGOUT_REASONS, totals['logouts']),
    messages: readRecord(DELIVERY_STATUSES, totals['messages']),
    drops: readRecord(DROP_REASONS, totals['drops']),
  };
}

function readRecord<Name extends string>(names: readonly Name[], value: unknown): Record<Name, number> {
  const fields = fieldsOf(value) ?? {};
  return Object.fromEntries(names.map((name) => [name, count(fields[name])])) as Record<Name, number>;
}

/** The number if it is a valid count, else 0. */
function count(value: unknown): number {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER ? value : 0;
}

/** The members of an object; undefined for any other value. */
export function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}
