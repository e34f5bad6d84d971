import { assert } from '../lib/assert.ts';
import { logInternalError } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import type { RedisLink } from '../redis/link.ts';
import type { Bus } from './bus.ts';

/** A Redis client for subscriptions. It needs its own connection, because such a connection can do nothing else. */
export interface ChannelSubscriber {
  subscribe(channel: string): Promise<unknown>;
  on(event: 'message', listener: (channel: string, text: string) => void): unknown;
}

/**
 * The bus over Redis pub/sub. A channel is `<prefix>lingxi:<database>:<topic>`. It names the database, because pub/sub ignores
 * it.
 */
export class RedisBus implements Bus {
  readonly #link: RedisLink;
  readonly #subscriber: ChannelSubscriber;
  readonly #scope: string;
  readonly #handlers = new Map<string, (text: string) => void>();

  constructor(link: RedisLink, subscriber: ChannelSubscriber, log: Log) {
    this.#link = link;
    this.#subscriber = subscriber;
    this.#scope = `${link.prefix}lingxi:${link.database}:`;
    this.#subscriber.on('message', (channel, text) => {
      try {
        this.#handlers.get(channel)?.(text);
      } catch (error) {
        logInternalError(log, { where: 'bus', error, fields: { channel } });
      }
    });
  }

  /** Rejects while Redis is unreachable. If it resolves, it is not known who received the text. */
  async publish(topic: string, text: string): Promise<void> {
    await this.#link.guarded(this.#link.client.publish(this.#scope + topic, text));
  }

  /** Resolves once Redis has the subscription. It is made again after every reconnection. One handler per topic. */
  async subscribe(topic: string, handler: (text: string) => void): Promise<void> {
    const channel = this.#scope + topic;
    assert(!this.#handlers.has(channel), `one handler listens to ${topic}`);
    this.#handlers.set(channel, handler);
    await this.#subscriber.subscribe(channel);
  }
}
