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

  async take(key: string): Promise<string | undefined> {
    return (await this.#link.guarded(this.#link.client.getdel(this.#keyOf(key)))) ?? undefined;
  }

  #keyOf(key: string): string {
    return `${this.#link.prefix}lingxi:ticket:${key}`;
  }
}
