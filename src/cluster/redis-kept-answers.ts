import type { Clock } from '../lib/clock.ts';
import type { Log } from '../logging/log.ts';
import type { RedisLink } from '../redis/link.ts';
import { KEEP_MS, type KeptAnswers, type KeyedCall, type KeyState } from './kept-answers.ts';

/** Between the fingerprint and what follows it: the name of the claim, or behind a second one the answer. */
const SEPARATOR = '\n';
/** How often it is looked whether a claim without a reply has come through after all, and for how long. */
const RELEASE_EVERY_MS = 500;
const RELEASE_FOR_MS = 15_000;
/** Claims without a reply that are remembered. Further ones keep their keys for {@link KEEP_MS}. */
const MAX_DOUBTFUL = 10_000;
/** Trips for one claim. A second one finds the key free if it expired between the two halves of the first. */
const MAX_TRIPS = 3;

type Reply = readonly [error: Error | null, value: unknown];
type Pipeline = ReturnType<RedisLink['client']['pipeline']>;

/** A claim as it is written: the name of its key in Redis, and the value. */
interface Claim {
  readonly call: KeyedCall;
  readonly name: string;
  readonly value: string;
}

export interface RedisKeptAnswersOptions {
  readonly link: RedisLink;
  readonly clock: Pick<Clock, 'after' | 'monotonic'>;
  readonly log: Log;
  /** Names a claim, so that it is known again. */
  readonly newId: () => string;
}

/**
 * The answers of a deployment, each under `<prefix>lingxi:once:<key>`. Redis decides by SET … NX who is first. Any number of
 * keys takes one round trip. An age is read from the time that the key has left, so no two clocks are compared.
 */
export class RedisKeptAnswers implements KeptAnswers {
  readonly #options: RedisKeptAnswersOptions;
  /** Claims without a reply, by value: several of them may be for one key. Nothing is carried out for them. */
  readonly #doubtful = new Map<string, { readonly name: string; readonly until: number }>();
  #isReleasing = false;

  constructor(options: RedisKeptAnswersOptions) {
    this.#options = options;
  }

  claim(calls: readonly KeyedCall[]): Promise<readonly KeyState[]> {
    return this.#claim(calls, MAX_TRIPS);
  }

  async #claim(calls: readonly KeyedCall[], trips: number): Promise<readonly KeyState[]> {
    const { link, newId } = this.#options;
    const claims = calls.map((call) => ({
      call,
      name: this.#nameOf(call.key),
      value: `${call.fingerprint}${SEPARATOR}${newId()}`,
    }));
    const pipeline = link.client.pipeline();
    for (const { name, value } of claims) pipeline.set(name, value, 'PX', KEEP_MS, 'NX').get(name).pttl(name);
    try {
      const replies = await this.#run(pipeline);
      const states = claims.map((claim, index): KeyState | Promise<KeyState> => {
        const [, text, leftMs] = replies.slice(index * 3, index * 3 + 3);
        if (text?.[0] != null) return this.#replaceForeign(claim);
        return text?.[1] == null
          ? this.#claimAgain(claim, trips - 1)
          : stateOf(claim, text[1], Number(leftMs?.[1]));
      });
      return await Promise.all(states.map((state) => Promise.resolve(state)));
    } catch (error) {
      this.#doubt(claims);
      throw error;
    }
  }

  async keep(answers: readonly (KeyedCall & { readonly answer: string })[]): Promise<void> {
    const pipeline = this.#options.link.client.pipeline();
    for (const { key, fingerprint, answer } of answers)
      pipeline.set(this.#nameOf(key), [fingerprint, '', answer].join(SEPARATOR), 'PX', KEEP_MS);
    await this.#run(pipeline);
  }

  async #claimAgain({ call, name }: Claim, trips: number): Promise<KeyState> {
    const [state] = trips > 0 ? await this.#claim([call], trips) : [];
    if (state === undefined)
      throw new Error(`Redis does not keep the key ${name}: does something delete it?`);
    return state;
  }

  /** A foreign value in the place of ours is replaced, as everywhere. */
  async #replaceForeign({ name, value }: Claim): Promise<KeyState> {
    const { link, log } = this.#options;
    log.warn({ event: 'foreign-value', key: name }, 'a value in Redis was not of this program: replaced it');
    await link.guarded(link.client.set(name, value, 'PX', KEEP_MS));
    return { kind: 'mine' };
  }

  /** Redis may carry out these claims later. Then their keys must become free: the senders of the pushes will try again. */
  #doubt(claims: readonly Claim[]): void {
    const until = this.#options.clock.monotonic() + RELEASE_FOR_MS;
    for (const { name, value } of claims)
      if (this.#doubtful.size < MAX_DOUBTFUL) this.#doubtful.set(value, { name, until });
    this.#releaseSoon();
  }

  #releaseSoon(): void {
    if (this.#isReleasing || this.#doubtful.size === 0) return;
    this.#isReleasing = true;
    this.#options.clock.after(RELEASE_EVERY_MS, () => {
      void this.#release()
        .catch(() => undefined)
        .finally(() => {
          this.#isReleasing = false;
          this.#releaseSoon();
        });
    });
  }

  /** Nobody but this node changes a key that one of its claims has taken: looking first and deleting then is safe. */
  async #release(): Promise<void> {
    const { link, clock } = this.#options;
    const doubtful = [...this.#doubtful];
    const now = clock.monotonic();
    for (const [value, { until }] of doubtful) if (until <= now) this.#doubtful.delete(value);
    const look = link.client.pipeline();
    for (const [, { name }] of doubtful) look.get(name);
    const replies = await this.#run(look);
    const taken = doubtful.filter(([value], index) => replies[index]?.[1] === value);
    if (taken.length === 0) return;
    const free = link.client.pipeline();
    for (const [, { name }] of taken) free.del(name);
    await this.#run(free);
    for (const [value] of taken) this.#doubtful.delete(value);
  }

  #nameOf(key: string): string {
    return `${this.#options.link.prefix}lingxi:once:${key}`;
  }

  /** A value of another type is for the caller to judge; any other error is the store's. */
  #run(pipeline: Pipeline): Promise<readonly Reply[]> {
    const replied = async (): Promise<readonly Reply[]> => {
      const replies = (await pipeline.exec()) ?? [];
      const failed = replies.find(([error]) => error !== null && !error.message.startsWith('WRONGTYPE'));
      if (failed?.[0] != null) throw failed[0];
      return replies;
    };
    return this.#options.link.guarded(replied());
  }
}

function stateOf({ call, value }: Claim, text: unknown, leftMs: number): KeyState {
  if (text === value) return { kind: 'mine' };
  const [kept, name, ...answer] = String(text).split(SEPARATOR);
  if (kept !== call.fingerprint) return { kind: 'other' };
  if (name === '' && answer.length > 0) return { kind: 'answered', answer: answer.join(SEPARATOR) };
  return { kind: 'pending', ageMs: Math.max(0, KEEP_MS - leftMs) };
}
