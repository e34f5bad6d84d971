import { assert } from '../lib/assert.ts';
import { logInternalError } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import type { RedisLink } from '../redis/link.ts';
import type { Bus } from './bus.ts';

/** The part of a Redis client that listening needs; a connection of its own, for it can do nothing else. */
export interface ChannelSubscriber {
  subscribe(channel: string): Promise<unknown>;
  on(event: 'message', listener: (channel: string, text: string) => void): unknown;
}

/**
 * Texts between nodes over pub/sub: at most once, to the nodes that listen at that moment. Everything sent here must also
 * come true without it. A channel is `<prefix>lingxi:<database>:<topic>`, for pub/sub ignores the database.
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

  /** Rejects while Redis is unreachable; resolving says nothing of who heard it. */
  async publish(topic: string, text: string): Promise<void> {
    await this.#link.guarded(this.#link.client.publish(this.#scope + topic, text));
  }

  /** Resolves once Redis knows of it; from then on over every reconnection. One handler a topic. */
  async subscribe(topic: string, handler: (text: string) => void): Promise<void> {
    const channel = this.#scope + topic;
    assert(!this.#handlers.has(channel), `one handler listens to ${topic}`);
    this.#handlers.set(channel, handler);
    await this.#subscriber.subscribe(channel);
  }
}
