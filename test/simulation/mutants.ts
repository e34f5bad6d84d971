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

/** Something broken on purpose: by what the stores do, or by what passes through a port of the node. */
export interface Mutant {
  readonly name: string;
  readonly mutation?: Mutation;
  readonly broken?: BrokenPorts;
  /** What befalls the deployment meanwhile, where chance would take long to bring it about. */
  readonly faults?: readonly Fault[];
}

/** Each mutant must be found within so many histories. */
export const MAX_HISTORIES = 1000;

const OF_STORES: readonly Mutant[] = [
  { name: 'a period ends without its duty', mutation: { dropsDuties: true } },
  { name: 'a kick ends without its duty', mutation: { dropsKicks: true } },
  { name: 'the logout time is that of the end', mutation: { endsAtOnce: true } },
  {
    name: 'a gap of the clock is charged in full',
    mutation: { chargesWholeGaps: true },
    faults: ['step-redis', 'stall'],
  },
  { name: 'nobody waits for others to restore', mutation: { youngMs: 0 } },
  { name: 'nobody waits for others to restore for long', mutation: { youngMs: 300 }, faults: ['wipe'] },
  { name: 'nodes are not asked to restore', mutation: { neverRestores: true } },
  { name: 'calls without a lease count', mutation: { ignoresLeases: true }, faults: ['bad-line'] },
  {
    name: 'a lease belongs to no connection',
    mutation: { leasesOfAnyConnection: true },
    faults: ['bad-line'],
  },
  {
    name: 'the highest epoch of a node is not heard',
    mutation: { forgetsHighestEpoch: true },
    faults: ['failover', 'wipe', 'step-redis'],
  },
  { name: 'epochs are not minted above the highest', mutation: { mintsBelowHighest: true } },
  {
    name: 'the newest period of SQL does not count',
    mutation: { ignoresFloor: true },
    faults: ['wipe', 'kill', 'step-redis'],
  },
  { name: 'a repeated statement is a new one', mutation: { repeatsAreNew: true }, faults: ['bad-line'] },
  {
    name: 'what has ended is restated',
    mutation: { restatesWhatEnded: true },
    faults: ['cut', 'freeze', 'restart'],
  },
  {
    name: 'an older period is restated over a newer one',
    mutation: { restatesOlderPeriods: true },
    faults: ['freeze', 'wipe', 'sql-down'],
  },
  { name: 'restating mints an epoch', mutation: { restatingMints: true } },
  { name: 'restating takes the moment as the login', mutation: { restatingLogsIn: true } },
  { name: 'a statement creates what is gone', mutation: { stateCreates: true } },
  { name: 'reject counts who lingers', mutation: { lingersRefuse: true }, faults: [] },
  { name: 'reject counts dead nodes', mutation: { deadNodesRefuse: true }, faults: ['kill'] },
  { name: 'silent sockets refuse', mutation: { silentSocketsRefuse: true }, faults: [] },
  { name: 'a take-over takes proofs by HTTP', mutation: { takesHttpProofs: true }, faults: ['kill'] },
  { name: 'a take-over tells the loser nothing', mutation: { takeOverTellsNobody: true } },
  { name: 'a late statement undoes a loss', mutation: { ignoresLosses: true }, faults: ['bad-line'] },
  { name: 'losses are told once', mutation: { lossesToldOnce: true }, faults: ['bad-line'] },
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
    name: 'reconciling goes beyond the next login',
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

/** What a claim says where this node knows of no socket and of no linger. */
const NO_SOCKET_PROOF = { socketMs: 0, proofAgeMs: 1e11, untilMs: -1e11, proofMark: '' };

/** What befalls the deployment for mutants of nodes that need it. */
const FAULTS_FOR: Readonly<Record<string, readonly Fault[]>> = {
  'a node learns no epochs': ['failover', 'wipe', 'step-redis'],
  'a late row is never written': ['sql-slow', 'sql-down'],
  'a node says that it has restored before it has': ['wipe'],
  'a period that moved keeps its old node': ['kill', 'wipe'],
  'no sign of life is written': ['kill', 'wipe'],
  'reconciling does not wait': ['wipe'],
  'groups are not restated': ['wipe'],
  'the version of groups is stated, and no more': ['wipe'],
  'a notice of a loss closes newer sockets too': ['bad-line'],
  'what Redis loses of the revocations is not put back': ['failover', 'wipe', 'drain'],
};

/**
 * What passes through the ports of a node. There is no mutant of a hold that is dropped while a statement is under way: no
 * port sees it, and it does what a login without an answer does that is forgotten.
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
  'what Redis loses of the revocations is not put back': {
    revocations: (store) => altered(store, { read: async () => ({ ...(await store.read()), isAll: false }) }),
  },
  'a node does not look for revocations': {
    revocations: (store) => altered(store, { read: async () => ({ revocations: [], isAll: false }) }),
  },
  'a hold is never given back': answeredOtherwise((answer) =>
    answer.kind === 'gone' ? { kind: 'held' } : answer,
  ),
  'a login without an answer is forgotten': answeredForStore('socket', {
    ...{ kind: 'refused', code: 'blocked' },
  }),
  'an opening that SQL did not take is not withdrawn': {
    store: (store) => altered(store, { withdraw: () => Promise.resolve() }),
  },
  'holds that a failover brought back are not looked for': {
    store: (store) => altered(store, { unstated: () => Promise.resolve([]) }),
  },
  'a change waits for the next renewal': { store: statedWithRenewal },
  'every other statement has the number of the one before': { store: numberedTwice },
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
  'deadlines are stated half as long': statedOtherwise((claim) => ({
    ...claim,
    untilMs: Math.round(claim.untilMs / 2),
  })),
  'a late row is never written': { ledger: (ledger) => altered(ledger, { openLater: () => undefined }) },
  'a period that moved keeps its old node': {
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
  'a settlement is tried once': {
    sql: (sql) =>
      altered(sql, { settle: (duties, settledAt) => sql.settle(duties, settledAt).catch(() => undefined) }),
  },
  'nobody settles': { store: (store) => altered(store, { takeDuties: () => Promise.resolve([]) }) },
  'nobody reconciles': { sql: (sql) => altered(sql, { withReconcilerLock: () => Promise.resolve(false) }) },
  'reconciling does not wait': { sql: reconcilingAtOnce },
  'groups are not restated': statedOtherwise((claim) => ({ ...claim, serviceGroups: '' })),
  'the version of groups is stated, and no more': statedOtherwise((claim) => ({
    ...claim,
    serviceGroups: claim.serviceGroups.replace(/;.*$/, ''),
  })),
  'groups of tokens are not stated': statedOtherwise((claim) => ({ ...claim, tokenGroups: '' })),
  'a node hears of no groups': answeredOtherwise((answer) =>
    answer.kind === 'held' ? { kind: 'held' } : answer,
  ),
};

/** Those that chance meets soon. Scenes find the others: rare-mutants.test.ts. */
export const MUTANTS: readonly Mutant[] = [
  ...OF_STORES.map((mutant) => ({ ...mutant, name: `in the stores: ${mutant.name}` })),
  ...Object.entries(OF_NODES).map(([name, broken]) => ({
    ...{ name: `in a node: ${name}`, broken },
    ...(FAULTS_FOR[name] === undefined ? {} : { faults: FAULTS_FOR[name] }),
  })),
];

export interface Kill {
  /** Histories played until then. */
  readonly after: number;
  readonly violation: string;
}

/** The first history that breaks a rule which it keeps without the mutant; undefined: none does, it survives. */
export async function killed(mutant: Mutant, seed: number): Promise<Kill | undefined> {
  const { faults } = mutant;
  for (let history = 0; history < MAX_HISTORIES; history += 1) {
    const violation = await violationOf(mutant, seed, history);
    if (violation === undefined) continue;
    const unbroken = faults === undefined ? {} : { faults };
    if ((await violationOf(unbroken, seed, history)) === undefined) return { after: history + 1, violation };
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
