import { ClientConnection } from '../../src/connection/client-connection.ts';
import { ObservedTime } from '../../src/heartbeat/observed-time.ts';
import { UserHold } from '../../src/presence/node/hold.ts';
import { Holds } from '../../src/presence/node/holds.ts';
import { Unstated } from '../../src/presence/node/unstated.ts';
import type { Claim, ClaimAnswer, Loss } from '../../src/presence/store/port.ts';
import { PresenceLedger } from '../../src/settlement/presence-ledger.ts';
import { Reconciler } from '../../src/settlement/reconciler.ts';
import { Retrier } from '../../src/settlement/retrier.ts';
import { Settler } from '../../src/settlement/settler.ts';
import { Suspects } from '../../src/settlement/suspects.ts';
import type { Fault } from './faults.ts';
import { History } from './history.ts';
import type { Mutation } from './mutation.ts';
import { SqlLink } from './simulated-sql.ts';
import { StoreLink } from './store-link.ts';
import { swap, swapAll, type Undo } from './swap.ts';

/** Something broken on purpose: by what the stores do, or by a method of the node that does something else. */
export interface Mutant {
  readonly name: string;
  readonly mutation?: Mutation;
  readonly mutate?: () => Undo;
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
  {
    name: 'a node opens periods before it has restored',
    mutation: { unrestoredMayOpen: true },
    faults: ['freeze', 'wipe'],
  },
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
  'timeouts do not freeze while presence is away': ['stall'],
  'a node learns no epochs': ['failover', 'wipe', 'step-redis'],
  'a late row is never written': ['sql-slow', 'sql-down'],
  'a node says that it has restored before it has': ['wipe'],
  'a period that moved keeps its old node': ['kill', 'wipe'],
  'no sign of life is written': ['kill', 'wipe'],
  'reconciling does not wait': ['wipe'],
};

const OF_NODES: Readonly<Record<string, () => Undo>> = {
  'timeouts do not freeze while presence is away': () =>
    swap(ObservedTime.prototype, 'freeze', () => () => undefined),
  'timeouts stay frozen after an outage': () => swap(ObservedTime.prototype, 'thaw', () => () => undefined),
  'the proofs of a socket that is gone are forgotten': () =>
    onClaims((claim) => (claim.sockets === 0 ? { ...claim, ...NO_SOCKET_PROOF } : claim)),
  'an ended period stays held': () =>
    onAnswers((answer) =>
      answer.kind === 'ended' || answer.kind === 'released' || answer.kind === 'gone'
        ? { kind: 'held' }
        : answer,
    ),
  'a hold is never given back': () => swap(Holds.prototype, 'release', () => (hold) => hold.unlock()),
  'a hold is dropped while a statement is under way': () =>
    swap(
      Holds.prototype,
      'release',
      (release) =>
        function (this: Holds, hold) {
          if (hold.period === 0) hold.forget();
          release.call(this, hold);
        },
    ),
  'a login without an answer is forgotten': () =>
    swapAll(
      swap(UserHold.prototype, 'doubt', () => () => undefined),
      swap(UserHold.prototype, 'lingerInDoubt', () => () => undefined),
    ),
  'a change waits for the next renewal': () =>
    swap(
      Unstated.prototype,
      'stateSoon',
      () =>
        function (this: Unstated, hold) {
          this.add(hold);
        },
    ),
  'every other statement has the number of the one before': () => {
    const numbers = new WeakMap<Holds, number>();
    return swap(
      Holds.prototype,
      'nextRev',
      () =>
        function (this: Holds) {
          const calls = (numbers.get(this) ?? 1) + 1;
          numbers.set(this, calls);
          return Math.floor(calls / 2);
        },
    );
  },
  'a node learns no epochs': () => swap(Holds.prototype, 'learnEpoch', () => () => undefined),
  'no linger is watched': () => swap(Holds.prototype, 'watch', () => () => undefined),
  'the older socket of a node stays': () => swap(Holds.prototype, 'evict', () => () => undefined),
  'the sockets of an ended period stay': () =>
    swap(
      ClientConnection.prototype,
      'close',
      (close) =>
        function (this: ClientConnection, cause, ...rest) {
          if (cause !== 'logout' && cause !== 'kick') close.call(this, cause, ...rest);
        },
    ),
  'a loss closes newer sockets too': () => {
    const told = new WeakMap<StoreLink, Map<number, Loss>>();
    return swap(
      StoreLink.prototype,
      'renew',
      (renew) =>
        async function (this: StoreLink, request) {
          const real = told.get(this) ?? new Map<number, Loss>();
          told.set(this, real);
          const acknowledged = request.acknowledged.map((loss) => real.get(loss.userId) ?? loss);
          const answer = await renew.call(this, { ...request, acknowledged });
          for (const loss of answer.losses) real.set(loss.userId, loss);
          return {
            ...answer,
            losses: answer.losses.map((loss) => ({ ...loss, rev: Number.MAX_SAFE_INTEGER })),
          };
        },
    );
  },
  'losses are not acknowledged': () =>
    swap(
      StoreLink.prototype,
      'renew',
      (renew) =>
        function (this: StoreLink, request) {
          return renew.call(this, { ...request, acknowledged: [] });
        },
    ),
  'a node says that it has restored before it has': () =>
    swap(
      StoreLink.prototype,
      'renew',
      (renew) =>
        function (this: StoreLink, request) {
          return renew.call(this, { ...request, restored: true });
        },
    ),
  'every socket claims a fresh proof': () =>
    onClaims((claim) => ({ ...claim, proofAgeMs: 0, untilMs: 20_000 })),
  'deadlines are stated half as long': () =>
    onClaims((claim) => ({ ...claim, untilMs: Math.round(claim.untilMs / 2) })),
  'a late row is never written': () => swap(PresenceLedger.prototype, 'openLater', () => () => undefined),
  'a period that moved keeps its old node': () =>
    swap(PresenceLedger.prototype, 'moved', () => () => undefined),
  'no sign of life is written': () => swap(SqlLink.prototype, 'noteNodeAlive', () => () => Promise.resolve()),
  'duties are acknowledged and not settled': () =>
    swap(
      StoreLink.prototype,
      'takeDuties',
      (take) =>
        async function (this: StoreLink, limit) {
          await this.ackDuties(await take.call(this, limit));
          return [];
        },
    ),
  'duties are acknowledged before they are settled': () =>
    swap(
      StoreLink.prototype,
      'takeDuties',
      (take) =>
        async function (this: StoreLink, limit) {
          const duties = await take.call(this, limit);
          await this.ackDuties(duties);
          return duties;
        },
    ),
  'a settlement is tried once': () =>
    swap(
      Retrier.prototype,
      'until',
      () => (work) =>
        work().then(
          () => true,
          () => true,
        ),
    ),
  'nobody settles': () =>
    swapAll(
      swap(Settler.prototype, 'start', () => () => undefined),
      swap(Settler.prototype, 'wake', () => () => undefined),
    ),
  'nobody reconciles': () => swap(Reconciler.prototype, 'pass', () => () => Promise.resolve()),
  'reconciling does not wait': () => swap(Suspects.prototype, 'ageMs', () => () => Number.POSITIVE_INFINITY),
};

export const MUTANTS: readonly Mutant[] = [
  ...OF_STORES.map((mutant) => ({ ...mutant, name: `in the stores: ${mutant.name}` })),
  ...Object.entries(OF_NODES).map(([name, mutate]) => ({
    ...{ name: `in a node: ${name}`, mutate },
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
  { mutation = {}, mutate, faults }: Omit<Mutant, 'name'>,
  seed: number,
  history: number,
): Promise<string | undefined> {
  const undo = mutate?.();
  try {
    const options = faults === undefined ? {} : { faults };
    const { violations } = await new History({ seed, history, mutation, ...options }).run();
    return violations[0];
  } finally {
    undo?.();
  }
}

/** What each node states is changed on its way to the store. */
function onClaims(change: (claim: Claim) => Claim): Undo {
  return swap(
    StoreLink.prototype,
    'claim',
    (claim) =>
      function (this: StoreLink, batch) {
        return claim.call(this, batch.map(change));
      },
  );
}

/** What the store answers to statements of what is left is changed on its way to the node. */
function onAnswers(change: (answer: ClaimAnswer) => ClaimAnswer): Undo {
  return swap(
    StoreLink.prototype,
    'claim',
    (claim) =>
      async function (this: StoreLink, batch) {
        const answers = await claim.call(this, batch);
        return answers.map((answer, index) => (batch[index]?.mode === 'state' ? change(answer) : answer));
      },
  );
}
