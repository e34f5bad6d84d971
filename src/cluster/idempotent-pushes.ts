import { Batcher, BatcherFull } from '../lib/batcher.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import { err, ok, type Result } from '../lib/result.ts';
import type { Counters } from '../metrics/counters.ts';
import type { PushReport, PushRequest } from '../protocol/delivery.ts';
import { KEEP_MS, type KeptAnswers, type KeyedCall, type KeyState } from './kept-answers.ts';
import { decodeReport, encodeReport, unknownReport } from './kept-report.ts';
import type { PushAnswer, Pushes, PushRefusal, Router } from './router.ts';

/** Longest time of a call: 10 s for acknowledgements, the rest for other nodes and the store. */
const MAX_CALL_MS = 15_000;
/** How often the store is asked about a call that another node carries out. */
const POLL_MS = 100;
/** Calls that wait for other nodes at a time. Further ones get `unknown` at once. */
const MAX_POLLING = 1000;
/** Largest number of keys in one call to the store, and of keys that wait for a call. */
const MAX_KEYS_PER_TRIP = 1000;
const MAX_WAITING = 10_000;
/** Largest number of keys, and of characters of answers, of one node. Beyond it, the node refuses a push with a key. */
const MAX_KEYS = 300_000;
const MAX_TEXT = 67_108_864;

export interface IdempotentPushesOptions {
  readonly router: Router;
  readonly answers: KeptAnswers;
  /** A short text that stands for a long one. */
  readonly digest: (text: string) => string;
  readonly clock: Clock;
  readonly counters: Pick<Counters, 'pushesRepeated'>;
  readonly presence: { onlineCount(): number };
  /** Keys that this node takes within 5 minutes. Default 300,000. */
  readonly maxKeys?: number;
}

/** A push with a key that this node carries out, or whose answer it waits for. */
interface UnderWay {
  readonly call: KeyedCall;
  readonly answer: Promise<PushAnswer>;
  readonly settle: (answer: PushAnswer) => void;
}

/** How to handle one push. */
type Turn =
  | { readonly kind: 'plain' }
  | { readonly kind: 'repeat'; readonly first: UnderWay }
  | { readonly kind: 'keyed'; readonly own: UnderWay; readonly state: Result<KeyState, PushRefusal> };

/**
 * Carries out a push with an idempotency key once in the whole deployment. A repeated push gets the first answer. If delivery
 * could happen twice, the answer is `unknown` or a refusal. It counts no outcomes: the router counts those of the first call.
 */
export class IdempotentPushes implements Pushes {
  readonly #options: IdempotentPushesOptions;
  /** By key and content. */
  readonly #underWay = new Map<string, UnderWay>();
  readonly #budget: Budget;
  readonly #reservations: Batcher<KeyedCall, KeyState>;
  readonly #keeping: Batcher<KeyedCall & { readonly answer: string }, undefined>;
  #polling = 0;

  constructor(options: IdempotentPushesOptions) {
    const { answers, clock } = options;
    const bounds = { clock, maxBatch: MAX_KEYS_PER_TRIP, maxWaiting: MAX_WAITING };
    this.#options = options;
    this.#budget = new Budget(clock, options.maxKeys ?? MAX_KEYS);
    this.#reservations = new Batcher({
      ...bounds,
      run: async (calls) => (await answers.reserve(calls)).map(ok),
    });
    this.#keeping = new Batcher({
      ...bounds,
      run: async (kept) => {
        await answers.keep(kept);
        return kept.map(() => ok(undefined));
      },
    });
  }

  async push(requests: readonly PushRequest[]): Promise<readonly PushAnswer[]> {
    if (!requests.some(({ idempotencyKey }) => idempotencyKey !== undefined))
      return Promise.all(requests.map((request) => this.#deliver(request)));
    const since = this.#options.clock.monotonic();
    // First it reserves all keys in one turn. Then all messages leave in one turn, in order (rule DL4).
    const turns = await Promise.all(requests.map((request) => this.#turnOf(request)));
    return Promise.all(
      requests.map((request, index) => this.#take(request, turns[index] ?? { kind: 'plain' }, since)),
    );
  }

  async #turnOf(request: PushRequest): Promise<Turn> {
    const { idempotencyKey: key } = request;
    if (key === undefined) return { kind: 'plain' };
    const call = { key, fingerprint: this.#options.digest(contentOf(request)) };
    const first = this.#underWay.get(nameOf(call));
    if (first !== undefined) return { kind: 'repeat', first };
    const own = this.#begin(call);
    if (!this.#budget.hasRoom()) return { kind: 'keyed', own, state: err('overloaded') };
    const reserved = await this.#reservations.submit(call);
    return { kind: 'keyed', own, state: reserved.ok ? reserved : err(refusalOf(reserved.error)) };
  }

  #begin(call: KeyedCall): UnderWay {
    let settle: UnderWay['settle'] = () => undefined;
    const answer = new Promise<PushAnswer>((resolve) => {
      settle = resolve;
    });
    const begun = { call, answer, settle };
    this.#underWay.set(nameOf(call), begun);
    return begun;
  }

  async #take(request: PushRequest, turn: Turn, since: number): Promise<PushAnswer> {
    if (turn.kind === 'plain') return this.#deliver(request, since);
    if (turn.kind === 'repeat') {
      const answer = await turn.first.answer;
      if (answer.ok) this.#options.counters.pushesRepeated += 1;
      return answer;
    }
    const { own, state } = turn;
    let answer: PushAnswer = ok(this.#unknown(request));
    try {
      answer = state.ok ? await this.#answerFor(request, { own, state: state.value, since }) : state;
      return answer;
    } finally {
      // Also after an exception: a sender that repeats the push must not wait forever.
      this.#underWay.delete(nameOf(own.call));
      own.settle(answer);
    }
  }

  async #answerFor(
    request: PushRequest,
    { own, state, since }: { readonly own: UnderWay; readonly state: KeyState; readonly since: number },
  ): Promise<PushAnswer> {
    // A push that need not wait leaves in this turn of the loop.
    const known = state.kind === 'pending' ? await this.#awaitFirst(own.call, state) : state;
    switch (known.kind) {
      case 'mine':
        return this.#carryOut(request, own.call, since);
      case 'other':
        return err('idempotency-key-reused');
      case 'answered':
      case 'pending': {
        this.#options.counters.pushesRepeated += 1;
        const report = known.kind === 'answered' ? decodeReport(known.answer, request) : undefined;
        return ok(report ?? this.#unknown(request));
      }
    }
  }

  async #carryOut(request: PushRequest, call: KeyedCall, since: number): Promise<PushAnswer> {
    this.#budget.add({ keys: 1, text: call.key.length });
    const report = await this.#options.router.push(request, since);
    const answer = encodeReport(report);
    this.#budget.add({ keys: 0, text: answer.length });
    // If the answer cannot be kept, the key stays reserved, and a repeated push gets `unknown`.
    await this.#keeping.submit({ ...call, answer });
    return ok(report);
  }

  /**
   * Waits for a call that another node carries out. If that node gave the key back, because it got no reply to its reservation, it
   * may become this one's.
   */
  async #awaitFirst(call: KeyedCall, pending: KeyState & { readonly kind: 'pending' }): Promise<KeyState> {
    const { clock } = this.#options;
    const until = clock.monotonic() + MAX_CALL_MS - pending.ageMs;
    let state: KeyState = pending;
    if (this.#polling >= MAX_POLLING) return state;
    this.#polling += 1;
    while (state.kind === 'pending' && clock.monotonic() < until) {
      await sleep(clock, POLL_MS);
      const reserved = await this.#reservations.submit(call);
      if (reserved.ok) state = reserved.value;
    }
    this.#polling -= 1;
    return state;
  }

  async #deliver(request: PushRequest, since?: number): Promise<PushAnswer> {
    return ok(await this.#options.router.push(request, since));
  }

  #unknown(request: PushRequest): PushReport {
    return unknownReport(request, this.#options.presence.onlineCount());
  }
}

/** Counts what was kept within the last {@link KEEP_MS}, in steps of a tenth of it. */
class Budget {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #maxKeys: number;
  readonly #steps: { readonly number: number; keys: number; text: number }[] = [];

  constructor(clock: Pick<Clock, 'monotonic'>, maxKeys: number) {
    this.#clock = clock;
    this.#maxKeys = maxKeys;
  }

  hasRoom(): boolean {
    const oldest = this.#number() - STEPS;
    while (this.#steps[0] !== undefined && this.#steps[0].number < oldest) this.#steps.shift();
    const sum = (of: 'keys' | 'text'): number => this.#steps.reduce((total, step) => total + step[of], 0);
    return sum('keys') < this.#maxKeys && sum('text') < MAX_TEXT;
  }

  add({ keys, text }: { readonly keys: number; readonly text: number }): void {
    const number = this.#number();
    let newest = this.#steps.at(-1);
    if (newest?.number !== number) {
      newest = { number, keys: 0, text: 0 };
      this.#steps.push(newest);
    }
    newest.keys += keys;
    newest.text += text;
  }

  #number(): number {
    return Math.floor((this.#clock.monotonic() * STEPS) / KEEP_MS);
  }
}

const STEPS = 10;

/** The content of a push, for comparison. The text of the data counts; the spelling of an id does not. */
function contentOf({ dataText, ...rest }: PushRequest): string {
  const { to, type, ack, timeoutMs, key, priority, ttlMs } = rest;
  return `${JSON.stringify([to, type, ack, timeoutMs, key, priority, ttlMs])}${dataText}`;
}

function nameOf({ key, fingerprint }: KeyedCall): string {
  return `${fingerprint} ${key}`;
}

function refusalOf(error: unknown): PushRefusal {
  return error instanceof BatcherFull ? 'overloaded' : 'presence-unavailable';
}
