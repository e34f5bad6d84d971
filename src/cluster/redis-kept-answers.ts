import type { Clock } from '../lib/clock.ts';
import type { Log } from '../logging/log.ts';
import type { RedisLink } from '../redis/link.ts';
import { KEEP_MS, type KeptAnswers, type KeyedCall, type KeyState } from './kept-answers.ts';

/** Separates the fields of a value: the fingerprint and the name of the reservation; or the fingerprint, nothing, and the answer. */
const SEPARATOR = '\n';
/** How often, and for how long, this node checks whether Redis has a reservation that got no reply. */
const RELEASE_EVERY_MS = 500;
const RELEASE_FOR_MS = 15_000;
/** Largest number of remembered reservations without a reply. Further ones keep their keys for {@link KEEP_MS}. */
const MAX_DOUBTFUL = 10_000;
/** Largest number of calls for one reservation. A second one is needed if the key expires between SET and GET of the first. */
const MAX_TRIPS = 3;

type Reply = readonly [error: Error | null, value: unknown];
type Pipeline = ReturnType<RedisLink['client']['pipeline']>;

/** A reservation: the call, the name of its key in Redis, and the value. */
interface Reservation {
  readonly call: KeyedCall;
  readonly name: string;
  readonly value: string;
}

export interface RedisKeptAnswersOptions {
  readonly link: RedisLink;
  readonly clock: Pick<Clock, 'after' | 'monotonic'>;
  readonly log: Log;
  /** Names a reservation, so that this node recognises its own. */
  readonly newId: () => string;
}

/**
 * The answers of a deployment, each under `<prefix>lingxi:once:<key>`. Redis decides by SET … NX which call is first. Any number
 * of keys takes one round trip. The age of a call follows from the remaining life of its key, so no two clocks are compared.
 */
export class RedisKeptAnswers implements KeptAnswers {
  readonly #options: RedisKeptAnswersOptions;
  /** Reservations without a reply, by value, because one key may have several. No push was carried out for them. */
  readonly #doubtful = new Map<string, { readonly name: string; readonly until: number }>();
  #isReleasing = false;

  constructor(options: RedisKeptAnswersOptions) {
    this.#options = options;
  }

  reserve(calls: readonly KeyedCall[]): Promise<readonly KeyState[]> {
    return this.#reserve(calls, MAX_TRIPS);
  }

  async #reserve(calls: readonly KeyedCall[], trips: number): Promise<readonly KeyState[]> {
    const { link, newId } = this.#options;
    const reservations = calls.map((call) => ({
      call,
      name: this.#nameOf(call.key),
      value: `${call.fingerprint}${SEPARATOR}${newId()}`,
    }));
    const pipeline = link.client.pipeline();
    for (const { name, value } of reservations)
      pipeline.set(name, value, 'PX', KEEP_MS, 'NX').get(name).pttl(name);
    try {
      const replies = await this.#run(pipeline);
      const states = reservations.map((reservation, index): KeyState | Promise<KeyState> => {
        const [, text, leftMs] = replies.slice(index * 3, index * 3 + 3);
        if (text?.[0] != null) return this.#replaceForeign(reservation);
        return text?.[1] == null
          ? this.#reserveAgain(reservation, trips - 1)
          : stateOf(reservation, text[1], Number(leftMs?.[1]));
      });
      return await Promise.all(states.map((state) => Promise.resolve(state)));
    } catch (error) {
      this.#doubt(reservations);
      throw error;
    }
  }

  async keep(answers: readonly (KeyedCall & { readonly answer: string })[]): Promise<void> {
    const pipeline = this.#options.link.client.pipeline();
    for (const { key, fingerprint, answer } of answers)
      pipeline.set(this.#nameOf(key), [fingerprint, '', answer].join(SEPARATOR), 'PX', KEEP_MS);
    await this.#run(pipeline);
  }

  async #reserveAgain({ call, name }: Reservation, trips: number): Promise<KeyState> {
    const [state] = trips > 0 ? await this.#reserve([call], trips) : [];
    if (state === undefined)
      throw new Error(`Redis does not keep the key ${name}: does something delete it?`);
    return state;
  }

  /** Replaces a value of another program under the key. */
  async #replaceForeign({ name, value }: Reservation): Promise<KeyState> {
    const { link, log } = this.#options;
    log.warn({ event: 'foreign-value', key: name }, 'a value in Redis was not of this program: replaced it');
    await link.guarded(link.client.set(name, value, 'PX', KEEP_MS));
    return { kind: 'mine' };
  }

  /** Redis may still carry out these reservations. Then this node must free their keys, because the senders will try again. */
  #doubt(reservations: readonly Reservation[]): void {
    const until = this.#options.clock.monotonic() + RELEASE_FOR_MS;
    for (const { name, value } of reservations)
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

  /** Only this node changes the keys of its own reservations. So it is safe to read first and then delete. */
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

  /** Rejects with the first error, except for values of another type, which the caller handles. */
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

function stateOf({ call, value }: Reservation, text: unknown, leftMs: number): KeyState {
  if (text === value) return { kind: 'mine' };
  const [kept, name, ...answer] = String(text).split(SEPARATOR);
  if (kept !== call.fingerprint) return { kind: 'other' };
  if (name === '' && answer.length > 0) return { kind: 'answered', answer: answer.join(SEPARATOR) };
  return { kind: 'pending', ageMs: Math.max(0, KEEP_MS - leftMs) };
}
