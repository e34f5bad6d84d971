import { parseArgs } from 'node:util';
import type { Runtime } from '../test/support/gateway-process.ts';
import { KNOWN_USERS } from '../test/support/stores.ts';
import type { Peer } from './servers/peers.ts';

/** The options of the command line. */
export interface Arguments {
  readonly only: readonly string[];
  /** The runtime of the server in scenarios with one runtime. */
  readonly runtime: Runtime;
  /** The runtimes of a scenario that has a goal for each. */
  readonly runtimes: readonly Runtime[];
  /** Number of users, or the largest number that the command allows. */
  readonly users: (full: number) => number;
  /** Users who ping each second while the commands to Redis are counted. */
  readonly pinging: number;
  /** The commands are counted for this time. */
  readonly seconds: number;
  /** Messages are sent for this time, in each part of a scenario. */
  readonly sendingSeconds: number;
  /** Connections ping for this time in B1. */
  readonly holdSeconds: number;
  /** In B7 users become silent over this time. */
  readonly silenceSeconds: number;
  /** The heartbeat timeout of the scenarios that wait for it, and the variables that set it. */
  readonly timeoutMs: number;
  readonly timeoutEnv: Readonly<Record<string, string>>;
  /** The drain timeout of B12. */
  readonly drainMs: number;
  /** Number of users that B11 holds in Redis. */
  readonly heldUsers: number;
  readonly isQuick: boolean;
  /** Whether anything is smaller than the goals assume, or omitted. */
  readonly isPart: boolean;
  readonly json: boolean;
  readonly writeDocs: boolean;
}

export interface Settings extends Arguments {
  /** The bare servers that can run here. */
  readonly peers: readonly Peer[];
}

const FULL = { users: 10_000, pinging: 1_000, seconds: 12 };
const QUICK = { users: 1_000, pinging: 200, seconds: 3 };
/** Parts of the time in which commands are counted. */
const SENDING_SHARE = 1 / 3;

/** Reads the arguments; throws a sentence if one is wrong. `names` are the existing scenarios. */
export function readSettings(args: readonly string[], names: readonly string[]): Arguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      quick: { type: 'boolean', default: false },
      runtime: { type: 'string' },
      users: { type: 'string' },
      pinging: { type: 'string' },
      seconds: { type: 'string' },
      held: { type: 'string' },
      json: { type: 'boolean', default: false },
      'write-docs': { type: 'boolean', default: false },
    },
  });
  const isQuick = values.quick;
  const size = isQuick ? QUICK : FULL;
  const [users, pinging, seconds] = (['users', 'pinging', 'seconds'] as const).map((name) =>
    wholeNumber(name, values[name], size[name]),
  ) as [number, number, number];
  if (Math.max(users, pinging) > KNOWN_USERS)
    throw new Error(`There are ${KNOWN_USERS} users: give --users and --pinging at most that.`);
  const heldUsers = wholeNumber('held', values.held, isQuick ? 20_000 : 100_000);
  const { runtime } = values;
  if (runtime !== undefined && runtime !== 'bun' && runtime !== 'node')
    throw new Error(`--runtime is ${runtime}: it must be bun or node.`);
  const only = readNames(values.only, names);
  const isSmall =
    users < FULL.users || pinging < FULL.pinging || seconds < FULL.seconds || heldUsers < 100_000;
  const isPart = isQuick || isSmall || only.length < names.length || runtime !== undefined;
  if (values['write-docs'] && isPart)
    throw new Error('--write-docs needs a full run: leave out --quick, --only, --runtime and the sizes.');
  const timeoutMs = isQuick ? 3_000 : 10_000;
  return {
    ...{ only, isQuick, isPart, pinging, seconds, heldUsers, timeoutMs },
    runtime: runtime ?? 'bun',
    runtimes: runtime !== undefined ? [runtime] : isQuick ? ['bun'] : ['bun', 'node'],
    users: (full) => Math.min(full, users),
    sendingSeconds: Math.max(1, Math.round(seconds * SENDING_SHARE)),
    holdSeconds: isQuick ? 2 : 8,
    silenceSeconds: isQuick ? 2 : 8,
    timeoutEnv: isQuick ? { LINGXI_HEARTBEAT_TIMEOUT_MS: String(timeoutMs) } : {},
    drainMs: isQuick ? 3_000 : 10_000,
    json: values.json,
    writeDocs: values['write-docs'],
  };
}

function readNames(given: string | undefined, names: readonly string[]): readonly string[] {
  if (given === undefined) return names;
  const wanted = given.split(',').map((name) => name.trim().toLowerCase());
  const unknown = wanted.find((name) => !names.some((known) => known.toLowerCase() === name));
  if (unknown !== undefined)
    throw new Error(`--only names "${unknown}": the scenarios are ${names.join(', ')}.`);
  return names.filter((name) => wanted.includes(name.toLowerCase()));
}

function wholeNumber(name: string, given: string | undefined, otherwise: number): number {
  if (given === undefined) return otherwise;
  if (!/^[1-9]\d{0,6}$/.test(given))
    throw new Error(`--${name} is ${given}: it must be a whole number from 1 on.`);
  return Number(given);
}
