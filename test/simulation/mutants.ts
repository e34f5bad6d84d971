import { CloseCode } from '../../src/protocol/close-codes.ts';
import {
  altered,
  answeredForStore,
  answeredOtherwise,
  type BrokenPorts,
  FrozenForGood,
  losingTooMuch,
  noticesOfTooMuch,
  numberedTwice,
  reconcilingAtOnce,
  statedOtherwise,
  statedWithRenewal,
} from './broken-ports.ts';
import type { Fault } from './faults.ts';
import { History } from './history.ts';
import type { Mutation } from './mutation.ts';

/** Something that is broken on purpose: in the stores, or at a port of the node. */
export interface Mutant {
  readonly name: string;
  readonly mutation?: Mutation;
  readonly broken?: BrokenPorts;
  /** The faults of the histories, if random faults would take too long to show the mutant. */
  readonly faults?: readonly Fault[];
  /** The history at which the search begins. */
  readonly first?: number;
}

/** Each mutant must be found within this many histories. */
const MAX_HISTORIES = 1000;

const OF_STORES: readonly Mutant[] = [
  { name: 'a period ends without its duty', mutation: { dropsDuties: true } },
  { name: 'a kick ends a period without its duty', mutation: { dropsKicks: true } },
  { name: 'the logout time is the moment of the end', mutation: { endsAtOnce: true } },
  {
    name: 'a gap of the clock is charged in full',
    mutation: { chargesWholeGaps: true },
    faults: ['step-redis', 'stall'],
  },
  { name: 'logins do not wait for a restore', mutation: { youngMs: 0 } },
  { name: 'logins wait for a restore, but not long enough', mutation: { youngMs: 300 }, faults: ['wipe'] },
  { name: 'nodes are not asked to restore', mutation: { neverRestores: true } },
  { name: 'calls without a lease count', mutation: { ignoresLeases: true }, faults: ['bad-line'] },
  {
    name: 'a lease is valid for all connections',
    mutation: { leasesOfAnyConnection: true },
    faults: ['bad-line'],
  },
  {
    name: 'the highest epoch of a node is ignored',
    mutation: { forgetsHighestEpoch: true },
    faults: ['failover', 'wipe', 'step-redis'],
  },
  { name: 'epochs are not minted above the highest', mutation: { mintsBelowHighest: true } },
  {
    name: 'the newest period in SQL does not count',
    mutation: { ignoresFloor: true },
    faults: ['wipe', 'kill', 'step-redis'],
  },
  { name: 'a repeated claim counts as a new one', mutation: { repeatsAreNew: true }, faults: ['bad-line'] },
  {
    name: 'an ended period is restored',
    mutation: { restatesWhatEnded: true },
    faults: ['cut', 'freeze', 'restart'],
  },
  {
    name: 'an older period is restored over a newer one',
    mutation: { restatesOlderPeriods: true },
    faults: ['freeze', 'wipe', 'sql-down'],
  },
  { name: 'restoring mints an epoch', mutation: { restatingMints: true } },
  { name: 'restoring sets the login time to the present', mutation: { restatingLogsIn: true } },
  { name: 'a claim of mode state creates a hold again', mutation: { stateCreates: true } },
  { name: 'reject counts lingering users', mutation: { lingersRefuse: true }, faults: [] },
  { name: 'reject counts dead nodes', mutation: { deadNodesRefuse: true }, faults: ['kill'] },
  { name: 'silent sockets refuse', mutation: { silentSocketsRefuse: true }, faults: [] },
  { name: 'a take-over removes proofs by HTTP', mutation: { takesHttpProofs: true }, faults: ['kill'] },
  { name: 'the losing node does not learn of a take-over', mutation: { takeOverTellsNobody: true } },
  { name: 'a late claim undoes a loss', mutation: { ignoresLosses: true }, faults: ['bad-line'] },
  { name: 'a node hears of its losses only once', mutation: { lossesToldOnce: true }, faults: ['bad-line'] },
  { name: 'an end does not look at the epoch', mutation: { endIgnoresEpoch: true } },
  { name: 'an end compares with < instead of <=', mutation: { strictEnd: true } },
  { name: 'a node is dead after 5 s', mutation: { reapsWithoutGrace: true, reapIgnoresDeadlines: true } },
  { name: 'proofs by HTTP on a dead node are void', mutation: { reapIgnoresHttp: true }, faults: ['kill'] },
  { name: 'dead nodes are never reaped', mutation: { neverReaps: true } },
  { name: 'a settlement does not close its row', mutation: { settleLosesRows: true } },
  {
    name: 'the last settlement wins',
    mutation: { settleLastWins: true },
    faults: ['bad-line', 'sql-replies-lost', 'kill'],
  },
  { name: 'the time of a user moves back', mutation: { timeMovesBack: true } },
  {
    name: 'reconciling writes a time after the next login',
    mutation: { reconcilesOverLogins: true },
    faults: ['kill', 'sql-slow', 'sql-replies-lost'],
  },
  { name: 'an opening is not written', mutation: { opensNothing: true } },
  {
    name: 'an opening overwrites its row',
    mutation: { opensOverwrite: true },
    faults: ['sql-replies-lost', 'bad-line'],
  },
];

/** The socket part of a claim if the node has no socket and no linger. */
const NO_SOCKET_PROOF = { socketMs: 0, proofAgeMs: 1e11, untilMs: -1e11, proofMark: '' };

/** The faults for mutants of nodes that need special ones. */
const FAULTS_FOR: Readonly<Record<string, readonly Fault[]>> = {
  'a node learns no epochs': ['failover', 'wipe', 'step-redis'],
  'a late row is never written': ['sql-slow', 'sql-down'],
  'a node says that it has restored before it has': ['wipe'],
  'a moved period keeps its old node in SQL': ['kill', 'wipe'],
  'no sign of life is written': ['kill', 'wipe'],
  'reconciling does not wait': ['wipe'],
  'groups are not restored': ['wipe'],
  'claims have only the version of the groups': ['wipe'],
  'a notice of a loss closes newer sockets too': ['bad-line'],
  'revocations that Redis lost are not put back': ['failover', 'wipe', 'drain'],
};

/**
 * Changes at the ports of a node. No mutant drops a hold while a claim is in progress, because no port sees it. It would have the
 * same effect as a forgotten login without an answer.
 */
const OF_NODES: Readonly<Record<string, BrokenPorts>> = {
  'timeouts stay frozen after an outage': { time: (clock) => new FrozenForGood(clock) },
  'the proofs of a socket that is gone are forgotten': statedOtherwise((claim) =>
    claim.sockets === 0 ? { ...claim, ...NO_SOCKET_PROOF } : claim,
  ),
  'an ended period stays held': answeredOtherwise((answer) =>
    answer.kind === 'ended' || answer.kind === 'released' || answer.kind === 'gone'
      ? { kind: 'held' }
      : answer,
  ),
  'revocations that Redis lost are not put back': {
    revocations: (store) => altered(store, { read: async () => ({ ...(await store.read()), isAll: false }) }),
  },
  'a node does not look for revocations': {
    revocations: (store) => altered(store, { read: async () => ({ revocations: [], isAll: false }) }),
  },
  'a node never gives a hold up': answeredOtherwise((answer) =>
    answer.kind === 'gone' ? { kind: 'held' } : answer,
  ),
  'a login without an answer is forgotten': answeredForStore('socket', {
    ...{ kind: 'refused', code: 'blocked' },
  }),
  'an opening that SQL did not take is not withdrawn': {
    store: (store) => altered(store, { withdraw: () => Promise.resolve() }),
  },
  'a node does not look for holds that a failover brought back': {
    store: (store) => altered(store, { unstated: () => Promise.resolve([]) }),
  },
  'a change waits for the next renewal': { store: statedWithRenewal },
  'every second claim repeats the previous revision': { store: numberedTwice },
  'a node learns no epochs': {
    store: (store) => altered(store, { renew: (request) => store.renew({ ...request, highestEpoch: 0 }) }),
  },
  'no linger is watched': { monitor: (monitor) => altered(monitor, { watch: () => undefined }) },
  'the older socket of a node stays': { closes: (code) => code !== CloseCode.replaced },
  'the sockets of an ended period stay': {
    closes: (code) => code !== CloseCode.loggedOut && code !== CloseCode.kicked,
  },
  'a loss closes newer sockets too': { store: losingTooMuch },
  'a notice of a loss closes newer sockets too': { bus: noticesOfTooMuch },
  'losses are not acknowledged': {
    store: (store) => altered(store, { renew: (request) => store.renew({ ...request, acknowledged: [] }) }),
  },
  'a node says that it has restored before it has': {
    store: (store) => altered(store, { renew: (request) => store.renew({ ...request, restored: true }) }),
  },
  'every socket claims a fresh proof': statedOtherwise((claim) => ({
    ...claim,
    proofAgeMs: 0,
    untilMs: 20_000,
  })),
  'claims halve the deadlines': statedOtherwise((claim) => ({
    ...claim,
    untilMs: Math.round(claim.untilMs / 2),
  })),
  'a late row is never written': { ledger: (ledger) => altered(ledger, { openLater: () => undefined }) },
  'a moved period keeps its old node in SQL': {
    ledger: (ledger) => altered(ledger, { moved: () => undefined }),
  },
  'no sign of life is written': { sql: (sql) => altered(sql, { noteNodeAlive: () => Promise.resolve() }) },
  'duties are acknowledged and not settled': {
    store: (store) =>
      altered(store, {
        async takeDuties(limit) {
          await store.ackDuties(await store.takeDuties(limit));
          return [];
        },
      }),
  },
  'duties are acknowledged before they are settled': {
    store: (store) =>
      altered(store, {
        async takeDuties(limit) {
          const duties = await store.takeDuties(limit);
          await store.ackDuties(duties);
          return duties;
        },
      }),
  },
  'a settlement is tried only once': {
    sql: (sql) =>
      altered(sql, { settle: (duties, settledAt) => sql.settle(duties, settledAt).catch(() => undefined) }),
  },
  'nobody settles': { store: (store) => altered(store, { takeDuties: () => Promise.resolve([]) }) },
  'nobody reconciles': { sql: (sql) => altered(sql, { withReconcilerLock: () => Promise.resolve(false) }) },
  'reconciling does not wait': { sql: reconcilingAtOnce },
  'groups are not restored': statedOtherwise((claim) => ({ ...claim, serviceGroups: '' })),
  'claims have only the version of the groups': statedOtherwise((claim) => ({
    ...claim,
    serviceGroups: claim.serviceGroups.replace(/;.*$/, ''),
  })),
  'claims lack the groups of tokens': statedOtherwise((claim) => ({ ...claim, tokenGroups: '' })),
  'a node learns of no groups': answeredOtherwise((answer) =>
    answer.kind === 'held' ? { kind: 'held' } : answer,
  ),
};

/**
 * A history of seed 1 that shows the mutant, if the first few do not. A change of the code may draw another history for that
 * number. Then the search goes on from there, and `--mutants` prints the new number.
 */
const FIRST: Readonly<Record<string, number>> = {
  'in the stores: logins wait for a restore, but not long enough': 10,
  'in the stores: logins do not wait for a restore': 11,
  'in the stores: nodes are not asked to restore': 11,
  'in a node: no linger is watched': 12,
  'in a node: reconciling does not wait': 17,
  'in the stores: the losing node does not learn of a take-over': 18,
  'in a node: no sign of life is written': 19,
  'in the stores: an opening overwrites its row': 24,
  'in a node: an opening that SQL did not take is not withdrawn': 25,
  'in the stores: restoring mints an epoch': 26,
  'in a node: a node says that it has restored before it has': 29,
  'in the stores: a claim of mode state creates a hold again': 35,
  'in the stores: an older period is restored over a newer one': 42,
  'in a node: nobody reconciles': 44,
  'in a node: a moved period keeps its old node in SQL': 46,
  'in a node: groups are not restored': 47,
  'in the stores: a late claim undoes a loss': 80,
  'in a node: a node does not look for holds that a failover brought back': 86,
  'in the stores: reject counts lingering users': 110,
  'in the stores: epochs are not minted above the highest': 153,
  'in the stores: the last settlement wins': 157,
  'in a node: a notice of a loss closes newer sockets too': 169,
  'in a node: a node learns of no groups': 174,
  'in the stores: the newest period in SQL does not count': 179,
  'in a node: a node learns no epochs': 257,
  'in the stores: the highest epoch of a node is ignored': 257,
  'in the stores: reconciling writes a time after the next login': 675,
  'in a node: a login without an answer is forgotten': 450,
  'in the stores: an ended period is restored': 547,
  'in the stores: a node hears of its losses only once': 869,
};

/** Mutants that random histories find soon. rare-mutants.test.ts has scenes for the others. */
export const MUTANTS: readonly Mutant[] = [
  ...OF_STORES.map((mutant) => ({ ...mutant, name: `in the stores: ${mutant.name}` })),
  ...Object.entries(OF_NODES).map(([name, broken]) => ({
    ...{ name: `in a node: ${name}`, broken },
    ...(FAULTS_FOR[name] === undefined ? {} : { faults: FAULTS_FOR[name] }),
  })),
].map((mutant) => ({ ...mutant, first: FIRST[mutant.name] ?? 0 }));

export interface Kill {
  /** How many histories were played until then. */
  readonly after: number;
  /** The history that shows the mutant. */
  readonly history: number;
  readonly violation: string;
}

/** The first history that breaks a rule with the mutant and keeps it without. Undefined: the mutant survives. */
export async function killed(mutant: Mutant, seed: number): Promise<Kill | undefined> {
  const { faults, first = 0 } = mutant;
  for (let after = 1; after <= MAX_HISTORIES; after += 1) {
    const history = (first + after - 1) % MAX_HISTORIES;
    const violation = await violationOf(mutant, seed, history);
    if (violation === undefined) continue;
    const unbroken = faults === undefined ? {} : { faults };
    if ((await violationOf(unbroken, seed, history)) === undefined) return { after, history, violation };
  }
  return undefined;
}

async function violationOf(
  { mutation = {}, broken = {}, faults }: Omit<Mutant, 'name'>,
  seed: number,
  history: number,
): Promise<string | undefined> {
  const options = faults === undefined ? {} : { faults };
  const { violations } = await new History({ seed, history, mutation, broken, ...options }).run();
  return violations[0];
}
