import type { RedisLink } from '../redis/link.ts';

/** Tickets in Redis, one key each, which expires by itself. Calls reject while Redis is unreachable. */
export class RedisTickets {
  readonly #link: RedisLink;

  constructor(link: RedisLink) {
    this.#link = link;
  }

  async put(key: string, text: string, ttlMs: number): Promise<void> {
    await this.#link.guarded(this.#link.client.set(this.#keyOf(key), text, 'PX', ttlMs));
  }

  async read(key: string): Promise<string | undefined> {
    return (await this.#link.guarded(this.#link.client.get(this.#keyOf(key)))) ?? undefined;
  }

  /** Renames the key. It keeps its expiry, and of two calls only one can rename it. */
  take(key: string): Promise<boolean> {
    return this.#rename(this.#keyOf(key), this.#takenKeyOf(key));
  }

  async giveBack(key: string): Promise<void> {
    await this.#rename(this.#takenKeyOf(key), this.#keyOf(key));
  }

  /** False: there is no key `from`. */
  async #rename(from: string, to: string): Promise<boolean> {
    try {
      await this.#link.guarded(this.#link.client.rename(from, to));
      return true;
    } catch (error) {
      if (error instanceof Error && error.message.includes('no such key')) return false;
      throw error;
    }
  }

  #takenKeyOf(key: string): string {
    return `${this.#keyOf(key)}:taken`;
  }

  #keyOf(key: string): string {
    return `${this.#link.prefix}lingxi:ticket:${key}`;
  }
}
