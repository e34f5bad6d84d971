import { parseArgs } from 'node:util';
import type { Runtime } from '../support/gateway-process.ts';
import { KNOWN_USERS } from '../support/stores.ts';

/** How large the measurements are. */
export interface Settings {
  readonly only: readonly string[];
  /** The runtime of the server where one is measured. */
  readonly runtime: Runtime;
  /** The runtimes of a measurement with a goal for each. */
  readonly runtimes: readonly Runtime[];
  /** So many users, or the most that the command allows. */
  readonly users: (full: number) => number;
  /** Users who ping each second while the commands to Redis are counted. */
  readonly pinging: number;
  /** For so long these commands are counted. */
  readonly seconds: number;
  /** For so long messages are sent, in each part of a measurement. */
  readonly sendingSeconds: number;
  /** Whether anything is smaller than the goals assume. */
  readonly isSmall: boolean;
}

const FULL = { users: 10_000, pinging: 1_000, seconds: 30 };
const QUICK = { users: 2_000, pinging: 300, seconds: 9 };
/** Shares of the time in which commands are counted. */
const SENDING_SHARE = 1 / 3;

/** Reads the arguments; throws a sentence where one is wrong. `names` are the measurements there are. */
export function readSettings(args: readonly string[], names: readonly string[]): Settings {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      quick: { type: 'boolean', default: false },
      runtime: { type: 'string' },
      users: { type: 'string' },
      pinging: { type: 'string' },
      seconds: { type: 'string' },
    },
  });
  const size = values.quick ? QUICK : FULL;
  const [users, pinging, seconds] = (['users', 'pinging', 'seconds'] as const).map((name) =>
    wholeNumber(name, values[name], size[name]),
  ) as [number, number, number];
  if (Math.max(users, pinging) > KNOWN_USERS)
    throw new Error(`There are ${KNOWN_USERS} users: give --users and --pinging at most that.`);
  const { runtime } = values;
  if (runtime !== undefined && runtime !== 'bun' && runtime !== 'node')
    throw new Error(`--runtime is ${runtime}: it must be bun or node.`);
  return {
    only: readNames(values.only, names),
    runtime: runtime ?? 'bun',
    runtimes: runtime === undefined ? ['bun', 'node'] : [runtime],
    users: (full) => Math.min(full, users),
    pinging,
    seconds,
    sendingSeconds: Math.max(1, Math.round(seconds * SENDING_SHARE)),
    isSmall: users < FULL.users || pinging < FULL.pinging || seconds < FULL.seconds,
  };
}

function readNames(given: string | undefined, names: readonly string[]): readonly string[] {
  if (given === undefined) return names;
  const wanted = given.split(',').map((name) => name.trim().toLowerCase());
  const unknown = wanted.find((name) => !names.some((known) => known.toLowerCase() === name));
  if (unknown !== undefined)
    throw new Error(`--only names "${unknown}": the measurements are ${names.join(', ')}.`);
  return names.filter((name) => wanted.includes(name.toLowerCase()));
}

function wholeNumber(name: string, given: string | undefined, otherwise: number): number {
  if (given === undefined) return otherwise;
  if (!/^[1-9]\d{0,6}$/.test(given))
    throw new Error(`--${name} is ${given}: it must be a whole number from 1 on.`);
  return Number(given);
}
