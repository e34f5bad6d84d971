import type { Log } from '../logging/log.ts';
import type { RedisLink } from '../redis/link.ts';
import { KEEP_MS, type KeptAnswers, type KeyedCall, type KeyState } from './kept-answers.ts';

/** Between the fingerprint and what follows it: the name of the claim, or behind a second one the answer. */
const SEPARATOR = '\n';

type Reply = readonly [error: Error | null, value: unknown];

/**
 * The answers of a deployment, each under `<prefix>lingxi:once:<key>`. Redis decides by SET … NX who is first. Any number of
 * keys takes one round trip. An age is read from the time that the key has left, so no two clocks are compared.
 */
export class RedisKeptAnswers implements KeptAnswers {
  readonly #link: RedisLink;
  readonly #log: Log;
  readonly #newId: () => string;

  /** `newId` names a claim, so that a claim whose reply was lost is not taken for another one. */
  constructor(link: RedisLink, { log, newId }: { readonly log: Log; readonly newId: () => string }) {
    this.#link = link;
    this.#log = log;
    this.#newId = newId;
  }

  claim(calls: readonly KeyedCall[]): Promise<readonly KeyState[]> {
    return this.#ask(calls, () => this.#newId());
  }

  look(calls: readonly KeyedCall[]): Promise<readonly KeyState[]> {
    return this.#ask(calls, () => undefined);
  }

  async keep(answers: readonly (KeyedCall & { readonly answer: string })[]): Promise<void> {
    const pipeline = this.#link.client.pipeline();
    for (const { key, fingerprint, answer } of answers)
      pipeline.set(this.#keyOf(key), [fingerprint, '', answer].join(SEPARATOR), 'PX', KEEP_MS);
    await this.#run(pipeline);
  }

  async #ask(calls: readonly KeyedCall[], nameClaim: () => string | undefined): Promise<readonly KeyState[]> {
    const pipeline = this.#link.client.pipeline();
    const claims = calls.map(({ key, fingerprint }) => {
      const name = nameClaim();
      const claim = name === undefined ? undefined : `${fingerprint}${SEPARATOR}${name}`;
      if (claim !== undefined) pipeline.set(this.#keyOf(key), claim, 'PX', KEEP_MS, 'NX');
      pipeline.get(this.#keyOf(key));
      pipeline.pttl(this.#keyOf(key));
      return claim;
    });
    const replies = await this.#run(pipeline);
    let at = 0;
    const states = calls.map((call, index): KeyState | 'foreign' => {
      if (claims[index] !== undefined) at += 1;
      const [text, leftMs] = [replies[at], replies[at + 1]];
      at += 2;
      if (text?.[0] != null) return 'foreign';
      return stateOf(call, text?.[1], { claim: claims[index], leftMs: Number(leftMs?.[1]) });
    });
    return Promise.all(
      states.map((state, index) => this.#withoutForeign(state, calls[index], claims[index])),
    );
  }

  /** A foreign value in the place of ours is replaced, as everywhere. */
  async #withoutForeign(
    state: KeyState | 'foreign',
    call: KeyedCall | undefined,
    claim: string | undefined,
  ): Promise<KeyState> {
    if (state !== 'foreign') return state;
    if (claim === undefined || call === undefined) return { kind: 'gone' };
    const key = this.#keyOf(call.key);
    this.#log.warn({ event: 'foreign-value', key }, 'a value in Redis was not of this program: replaced it');
    await this.#link.guarded(this.#link.client.set(key, claim, 'PX', KEEP_MS));
    return { kind: 'mine' };
  }

  #keyOf(key: string): string {
    return `${this.#link.prefix}lingxi:once:${key}`;
  }

  /** A value of another type is for the caller to judge; any other error is the store's. */
  #run(pipeline: ReturnType<RedisLink['client']['pipeline']>): Promise<readonly Reply[]> {
    return this.#link.guarded(
      pipeline.exec().then((replies) => {
        const failed = replies?.find(([error]) => error !== null && !error.message.startsWith('WRONGTYPE'));
        if (failed?.[0] != null) throw failed[0];
        return replies ?? [];
      }),
    );
  }
}

function stateOf(
  { fingerprint }: KeyedCall,
  text: unknown,
  known: { readonly claim: string | undefined; readonly leftMs: number },
): KeyState {
  if (typeof text !== 'string') return { kind: 'gone' };
  if (text === known.claim) return { kind: 'mine' };
  const [kept, claim, ...answer] = text.split(SEPARATOR);
  if (kept !== fingerprint) return { kind: 'other' };
  if (claim === '' && answer.length > 0) return { kind: 'answered', answer: answer.join(SEPARATOR) };
  return { kind: 'pending', ageMs: Math.max(0, KEEP_MS - known.leftMs) };
}
