import type {
  Claim,
  ClaimAnswer,
  EndAnswer,
  EndRequest,
  GroupAnswer,
  GroupChange,
  Loss,
  PresenceStore,
  RenewAnswer,
  RenewRequest,
} from '../../../src/presence/store/port.ts';
import type { Duty } from '../../../src/protocol/periods.ts';

type Row = { readonly userId: number; readonly period: number };
type Call =
  | ('renew' | 'claim' | 'record' | 'withdraw' | 'end' | 'reap' | 'read' | 'knows')
  | ('changeGroup' | 'groupPage');

/** A presence store behind a network that may fail. A test can also replace its answers. */
export class FragileStore implements PresenceStore {
  readonly keepsDuties = true;
  /** How often the node claims what is newer than the store knows. Undefined: never, as with the memory store. */
  renewalMs: number | undefined = undefined;
  /** Every call fails and has no effect. */
  down = false;
  /** For each call, how many of its next answers are lost. The call itself takes effect. */
  readonly repliesLost = new Map<Call, number>();
  readonly calls: string[] = [];
  /** The next renewal reports these once. */
  readonly losses: Loss[] = [];
  /** The store asks the node to restore, until the node has answered `restored`. */
  restoring = false;
  /** Replaces the answer to a claim. */
  answer: ((claim: Claim) => ClaimAnswer | undefined) | undefined;
  /** Runs before each end reaches the store. If it returns an answer, the node gets that one. */
  ending: ((request: EndRequest) => Promise<EndAnswer | undefined>) | undefined;
  /** When the next node will be dead. Each look at dead nodes answers with it. */
  nextDeathMs: number | undefined;
  readonly #inner: PresenceStore;

  constructor(inner: PresenceStore) {
    this.#inner = inner;
  }

  async renew(request: RenewRequest): Promise<RenewAnswer> {
    const answer = await this.#call('renew', () => this.#inner.renew(request));
    if (request.restored) this.restoring = false;
    return {
      ...answer,
      restore: this.restoring,
      world: this.restoring ? 'another' : '',
      losses: [...answer.losses, ...this.losses.splice(0)],
    };
  }
  claim(batch: readonly Claim[]): Promise<readonly ClaimAnswer[]> {
    this.calls.push(...batch.map(({ mode, userId }) => `${mode} ${userId}`));
    return this.#call('claim', async () => {
      const answers: ClaimAnswer[] = [];
      for (const claim of batch) {
        const [answer] = await this.#inner.claim([claim]);
        const replaced = this.answer?.(claim) ?? answer;
        if (replaced !== undefined) answers.push(replaced);
      }
      return answers;
    });
  }
  record(batch: readonly Row[]): Promise<readonly boolean[]> {
    return this.#call('record', () => this.#inner.record(batch));
  }
  withdraw(batch: readonly Row[]): Promise<void> {
    return this.#call('withdraw', () => this.#inner.withdraw(batch));
  }
  feed(page: Parameters<PresenceStore['feed']>[0]): ReturnType<PresenceStore['feed']> {
    return this.#inner.feed(page);
  }
  timeline(...asked: Parameters<PresenceStore['timeline']>): ReturnType<PresenceStore['timeline']> {
    return this.#inner.timeline(...asked);
  }
  end(batch: readonly EndRequest[]): ReturnType<PresenceStore['end']> {
    return this.#call('end', async () => {
      const answers: EndAnswer[] = [];
      for (const request of batch) {
        const replaced = await this.ending?.(request);
        answers.push(...(replaced === undefined ? await this.#inner.end([request]) : [replaced]));
      }
      return answers;
    });
  }
  changeGroup(change: GroupChange): Promise<readonly GroupAnswer[]> {
    return this.#call('changeGroup', () => this.#inner.changeGroup(change));
  }
  groupPage(page: Parameters<PresenceStore['groupPage']>[0]): ReturnType<PresenceStore['groupPage']> {
    return this.#call('groupPage', () => this.#inner.groupPage(page));
  }
  unstated(rev: number): Promise<readonly number[]> {
    return this.#inner.unstated(rev);
  }
  reap(limit: number): ReturnType<PresenceStore['reap']> {
    return this.#call('reap', async () => ({
      ...(await this.#inner.reap(limit)),
      nextDeathMs: this.nextDeathMs,
    }));
  }
  read(userIds: readonly number[]): ReturnType<PresenceStore['read']> {
    return this.#call('read', () => this.#inner.read(userIds));
  }
  running(userId: number): ReturnType<PresenceStore['running']> {
    return this.#call('read', () => this.#inner.running(userId));
  }
  blockLeftMs(userId: number): Promise<number> {
    return this.#call('read', () => this.#inner.blockLeftMs(userId));
  }
  onlinePage(page: Parameters<PresenceStore['onlinePage']>[0]): ReturnType<PresenceStore['onlinePage']> {
    return this.#call('read', () => this.#inner.onlinePage(page));
  }
  knows(rows: readonly Row[]): Promise<readonly boolean[]> {
    return this.#call('knows', () => this.#inner.knows(rows));
  }
  takeDuties(limit: number): Promise<readonly Duty[]> {
    return this.#inner.takeDuties(limit);
  }
  ackDuties(duties: readonly Duty[]): Promise<void> {
    return this.#inner.ackDuties(duties);
  }
  setAside(duty: Duty, error: string): Promise<void> {
    return this.#inner.setAside(duty, error);
  }
  pendingDuties(): ReturnType<PresenceStore['pendingDuties']> {
    return this.#inner.pendingDuties();
  }
  close(): Promise<void> {
    return this.#inner.close();
  }

  async #call<Value>(name: Call, call: () => Promise<Value>): Promise<Value> {
    this.calls.push(name);
    if (this.down) throw new Error('store down');
    const value = await call();
    const lost = this.repliesLost.get(name) ?? 0;
    if (lost === 0) return value;
    this.repliesLost.set(name, lost - 1);
    throw new Error('reply lost');
  }
}
