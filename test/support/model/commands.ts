import type { Claim, EndRequest, GroupChange } from '../../../src/presence/store/port.ts';

/** How often each kind of command comes, relative to the others. */
const WEIGHTS = {
  ...{
    socket: 16,
    http: 6,
    beat: 4,
    held: 9,
    linger: 4,
    nothing: 7,
    restate: 7,
    repeat: 4,
    stale: 2,
    crowd: 2,
  },
  ...{ record: 8, withdraw: 3, end: 8, renew: 8, reap: 6, unstated: 1, read: 1, knows: 1, nodes: 2 },
  ...{ take: 3, acknowledge: 6 },
  ...{ pass: 6, edge: 16, live: 4, stall: 2, back: 2, leap: 1 },
  /** `search.ts` inserts these between the others. */
  group: 0,
  ...{ wipe: 1, keep: 2, bringBack: 2, restart: 1, reconnect: 3 },
} as const;

export type Operation = keyof typeof WEIGHTS;

export const OPERATIONS: readonly Operation[] = (Object.entries(WEIGHTS) as [Operation, number][]).flatMap(
  ([operation, weight]) => Array.from({ length: weight }, () => operation),
);

/** Claims that a node makes about users that it holds. */
export const OF_HOLDERS: ReadonlySet<Operation> = new Set([
  ...(['held', 'linger', 'nothing', 'repeat', 'stale', 'record', 'withdraw'] as const),
]);
/** Operations for any user, whether this node holds the user or not. */
export const OF_ANYBODY: ReadonlySet<Operation> = new Set(['socket', 'beat', 'end', 'restate'] as const);
/** Operations without a lease, and the renewal. */
export const OF_NO_LEASE: ReadonlySet<Operation> = new Set([
  ...(['pass', 'edge', 'live', 'stall', 'back', 'leap'] as const),
  ...(['wipe', 'keep', 'bringBack', 'restart', 'reconnect', 'renew'] as const),
]);

/** How far the clock of Redis jumps at once. */
export const PASSED_MS = {
  pass: [1, 10, 300, 499, 500, 1000, 1001, 1500, 1900, 1999, 2000],
  /** Longer than the longest time that Redis charges. */
  stall: [2001, 2500, 10_000, 60_000],
  back: [-1, -50, -1000, -5000, -60_000, -3_600_000],
  leap: [60_000, 3_600_000, 8 * 3_600_000],
} as const;

/** One step of a history. Its details depend on the state at that time: `dice` choose among what exists then. */
export interface ModelCommand {
  readonly operation: Operation;
  readonly node: number;
  readonly user: number;
  readonly dice: readonly number[];
  /** The same for details of groups. They are drawn apart, so that groups change nothing else. */
  readonly groupDice: readonly number[];
}

/** The largest number of choices that one command makes. */
export const DICE = 20;

/** The choices of one command, in order. The first value of each list is the simplest. */
export class Dice {
  readonly #dice: readonly number[];
  #next = 0;

  constructor(dice: readonly number[]) {
    this.#dice = dice;
  }

  pick<Value>(values: readonly Value[]): Value {
    const value = values[(this.#dice[this.#next % this.#dice.length] ?? 0) % values.length];
    this.#next += 1;
    if (value === undefined && values.length === 0) throw new Error('nothing to pick from');
    return value as Value;
  }
}

/** What a node knows about a user when it makes a claim. */
export interface Known {
  readonly userId: number;
  readonly node: string;
  readonly rev: number;
  readonly wall: number;
  /** Periods and epochs of the user, oldest first. */
  readonly numbers: readonly number[];
  readonly period: number;
  readonly loginTime: number;
  readonly epoch: number;
  /** Groups from the service. */
  readonly groups: string;
  /** Marks of the proofs that the node reported for the user, oldest first. */
  readonly marks: readonly string[];
}

const LIFE_MS = [10_000, 60_000, 15_000, 10_000, 0, 1, 300, 1000, 3000, 6001, 6000];
const AGES_MS = [0, 1, 400, 3000, 9000, 30_000];
const CAUSES = ['', '', 'client', 'timeout', 'replaced'];
const NAMES = ['', 'player', '玩家|1;2,3'];
const ADDRESSES = ['192.0.2.1', '', '2001:db8::1'];

/** The claim of an operation that claims something. */
export function drawClaim(operation: Operation, known: Known, dice: Dice): Claim {
  const { userId, rev } = known;
  const claim = {
    ...{ userId, rev, ...drawProof(known, dice), username: dice.pick(NAMES), ip: dice.pick(ADDRESSES) },
    ...{ rivals: 0, floor: 0, period: 0, loginTime: 0, cause: '', tokenGroups: '', serviceGroups: '' },
  };
  const socketMs = dice.pick(LIFE_MS);
  const httpMs = dice.pick([0, 0, 0, ...LIFE_MS]);
  switch (operation) {
    case 'socket': {
      const epoch = dice.pick([0, 0, 0, known.epoch, ...epochsOf(known)]);
      const counts = { sockets: dice.pick([1, 1, 2, 3]), rivals: dice.pick([0, 0, 0, 1, 2]) };
      return { ...claim, mode: 'socket', ...counts, socketMs, httpMs, epoch, floor: drawFloor(known, dice) };
    }
    case 'http':
    case 'beat': {
      const floor = operation === 'http' ? drawFloor(known, dice) : 0;
      const sockets = dice.pick([0, 0, 1]);
      const proof = { socketMs: sockets === 0 ? 0 : socketMs, httpMs: dice.pick(LIFE_MS) };
      return { ...claim, mode: operation, sockets, ...proof, epoch: dice.pick(epochsOf(known)), floor };
    }
    case 'linger':
      return { ...claim, mode: 'state', sockets: 0, socketMs, httpMs, epoch: 0, cause: dice.pick(CAUSES) };
    case 'nothing':
      return {
        ...{ ...claim, mode: 'state', sockets: 0, socketMs: 0, httpMs: 0 },
        ...{ epoch: dice.pick([0, known.epoch]), cause: dice.pick(CAUSES) },
      };
    case 'restate': {
      const period = dice.pick([known.period, known.period, ...known.numbers, 0, known.wall - 5000]);
      const loginTime = period === known.period ? known.loginTime : period;
      const epoch = dice.pick([known.epoch, known.epoch, period, ...epochsOf(known)]);
      const sockets = dice.pick([1, 0, 2]);
      return { ...claim, mode: 'restate', sockets, socketMs, httpMs, epoch, period, loginTime };
    }
    default: {
      const epoch = dice.pick([known.epoch, known.epoch, ...epochsOf(known)]);
      const sockets = dice.pick([1, 2, 0]);
      return { ...claim, mode: 'state', sockets, socketMs, httpMs, epoch, cause: dice.pick(CAUSES) };
    }
  }
}

/** Group lists in forms that tokens and services need not use: unordered, and with repetitions. */
const TOKENS = ['', '', '', '', 'g1', 'g1;t:2', 'G44', 'g-3;g1'];
const GROUPS = ['g1', 'g1', 'g', 'g-3', 'G.4', 'G44', 't:2'];

/** The same claim with groups. */
export function withGroups(claim: Claim, known: Known, dice: Dice): Claim {
  const { groups, wall } = known;
  const [version = ''] = groups.split(';');
  const tokenGroups = dice.pick(TOKENS);
  const texts = ['', '', groups, groups, version, `${wall - 5};g1;x_5`, `${wall + 5000};G.4`, `${wall}`];
  const versions = ['', '', version, version, version, `${wall + 5000}`, '1'];
  return { ...claim, tokenGroups, serviceGroups: dice.pick(claim.mode === 'restate' ? texts : versions) };
}

/** A change of the members of a group. */
export function drawGroupChange(users: readonly number[], dice: Dice): GroupChange {
  const group = dice.pick(GROUPS);
  const sides = users.map((userId) => ({
    userId,
    side: dice.pick(['add', 'add', 'remove', 'none'] as const),
  }));
  const on = (wanted: 'add' | 'remove'): readonly number[] =>
    sides.flatMap(({ userId, side }) => (side === wanted ? [userId] : []));
  return { group, add: on('add'), remove: on('remove') };
}

export function drawEnd(known: Known, dice: Dice): EndRequest {
  const note = dice.pick([undefined, undefined, 'a|b 作弊', 'cheats']);
  const blockMs = dice.pick([undefined, undefined, undefined, 0, 1500, 20_000, 100_000]);
  return {
    ...{ userId: known.userId, reason: dice.pick(['logout', 'kick'] as const) },
    epoch: dice.pick([0, known.epoch, known.epoch, ...epochsOf(known)]),
    proofAgeMs: dice.pick([-1, 0, 500, 9000]),
    ...(blockMs === undefined ? {} : { blockMs }),
    ...(note === undefined ? {} : { note }),
  };
}

function drawProof(
  { node, rev, marks }: Known,
  dice: Dice,
): Pick<Claim, 'proofAgeMs' | 'untilMs' | 'proofMark'> {
  const proofAgeMs = dice.pick(AGES_MS);
  const untilMs = dice.pick([10_000, 10_000, 15_000, 0, 1]) - proofAgeMs;
  const fresh = `${node}_${rev}`;
  const proofMark = dice.pick([
    fresh,
    fresh,
    marks.at(-1) ?? fresh,
    marks.at(-1) ?? fresh,
    '',
    marks[0] ?? '',
  ]);
  return { proofAgeMs, untilMs, proofMark };
}

function drawFloor({ numbers, wall }: Known, dice: Dice): number {
  return dice.pick([0, 0, numbers.at(-1) ?? 0, (numbers.at(-1) ?? 0) + 1, numbers[0] ?? 0, wall + 3000]);
}

function epochsOf({ numbers, epoch }: Known): readonly number[] {
  return [0, numbers.at(-2) ?? 0, numbers[0] ?? 0, epoch + 1, Math.max(0, epoch - 1)];
}
