import { listOf, numberOf, numberOrNull, numbersOf, objectOf, textOf } from './reading.ts';

/** One event `counts` of `GET /api/dashboard/live`. */
export interface Counts {
  readonly at: number;
  readonly node: string;
  readonly version: string;
  readonly runtime: string;
  /** If it changes, the totals begin again. */
  readonly basis: string;
  readonly presenceAvailable: boolean;
  readonly online: number;
  readonly lingering: number;
  readonly connections: number;
  /** Monotonic, by names such as `logins` and `logouts.timeout`. */
  readonly totals: Readonly<Record<string, number>>;
  readonly queues: Readonly<Record<string, number>>;
  readonly lag: {
    /** The figures cover this time. 0: the node does not report it. */
    readonly overMs: number;
    readonly count: number;
    readonly p50: number | null;
    readonly p99: number | null;
    readonly max: number | null;
  };
  readonly settlement: {
    readonly available: boolean;
    readonly oldestAgeMs: number;
    readonly setAside: number;
  };
  readonly nodes: readonly NodeState[];
}

export interface NodeState {
  readonly node: string;
  readonly name: string;
  readonly state: string;
  readonly leaseAgeMs: number | null;
  readonly users: number;
  readonly connections: number | null;
  readonly isDraining: boolean;
  readonly hasAnswered: boolean;
}

const MOST_NODES = 500;
/** Totals with names below them. */
const NAMED_TOTALS = ['logouts', 'messages', 'drops'];

/** Undefined if the value is not an event `counts`. */
export function readCounts(value: unknown): Counts | undefined {
  const given = objectOf(value);
  const users = objectOf(given['users']);
  if (numberOrNull(given['at']) === null || numberOrNull(users['online']) === null) return undefined;
  const lag = objectOf(given['detectionLagMs']);
  const settlement = objectOf(given['settlement']);
  return {
    at: numberOf(given['at']),
    node: textOf(given['node']),
    version: textOf(given['version']),
    runtime: textOf(given['runtime']),
    basis: textOf(given['basis']),
    presenceAvailable: given['presenceAvailable'] !== false,
    online: numberOf(users['online']),
    lingering: numberOf(users['lingering']),
    connections: numberOf(given['connections']),
    totals: readTotals(objectOf(given['totals'])),
    queues: numbersOf(given['queues']),
    lag: {
      overMs: numberOf(lag['overMs']),
      count: numberOf(lag['count']),
      p50: numberOrNull(lag['p50']),
      p99: numberOrNull(lag['p99']),
      max: numberOrNull(lag['max']),
    },
    settlement: {
      available: settlement['available'] !== false,
      oldestAgeMs: numberOf(settlement['oldestAgeMs']),
      setAside: numberOf(settlement['setAside']),
    },
    nodes: listOf(given['nodes'], MOST_NODES).map((node) => ({
      node: textOf(node['node']),
      name: textOf(node['name']),
      state: textOf(node['state']),
      leaseAgeMs: numberOrNull(node['leaseAgeMs']),
      users: numberOf(node['users']),
      connections: numberOrNull(node['connections']),
      isDraining: node['draining'] === true,
      hasAnswered: node['answered'] !== false,
    })),
  };
}

function readTotals(given: Readonly<Record<string, unknown>>): Readonly<Record<string, number>> {
  const totals: Record<string, number> = { ...numbersOf(given) };
  for (const kind of NAMED_TOTALS)
    for (const [name, number] of Object.entries(numbersOf(given[kind]))) totals[`${kind}.${name}`] = number;
  return totals;
}
