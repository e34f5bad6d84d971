import { Redis } from 'ioredis';
import { sleep } from '../ports.ts';
import type { RedisDatabase } from '../redis.ts';
import type { Witness } from '../witness.ts';
import { LISTENER, NODE_NAME } from './bus-texts.ts';
import type { Case, Channel } from './case.ts';
import { Line, type LineTarget } from './line.ts';

/** Longest time of a fence through Redis and the gateway to the witness. */
const HEARD_MS = 5_000;
const BEAT_MS = 500;
const LISTENING_MS = 2_000;
/** The result of a case after which a push no longer reached the witness. */
export const DEAF = 'deaf: a push after it was not heard';

/** The witness, and the user that it is. */
export interface Listener {
  readonly witness: Witness;
  readonly userId: number;
}

/** The channels that a node listens to, as Redis names them. */
interface Channels {
  readonly names: Readonly<Record<Channel, string>>;
  /** The incarnation that listens to them. */
  readonly node: string;
}

const PUSH_CHANNEL = 'lingxi:push';
const CALLS = /^lingxi:\d+:node:(.*)$/;

/** Publishes cases on a real Redis. */
export class BusPlayer {
  readonly #client: Redis;
  readonly #target: LineTarget;
  #line: Line | undefined;
  #beat: NodeJS.Timeout | undefined;
  #fences = 0;

  constructor(redis: RedisDatabase, target: LineTarget) {
    this.#target = target;
    this.#client = new Redis(redis.url, { maxRetriesPerRequest: 1 });
    this.#client.on('error', () => undefined);
  }

  /** Publishes the texts, then pushes to the witness. The witness must get the push, because the channel must keep working. */
  async play({ witness, userId }: Listener, input: Case): Promise<string> {
    await this.#listen(LISTENER);
    const channels = await this.#channels();
    if (channels === undefined) return 'nobody listens';
    const { names, node } = channels;
    for (const { channel, bytes } of input.parts) {
      const text = bytes.includes(NODE_NAME) ? bytes.toString('utf8').replaceAll(NODE_NAME, node) : bytes;
      await this.#client.publish(names[channel ?? 'push'], text);
    }
    this.#fences += 1;
    const type = `fence-${this.#fences}`;
    const heard = hears(witness, type);
    await this.#client.publish(PUSH_CHANNEL, JSON.stringify({ to: { userId }, type }));
    return (await heard) ? 'heard' : DEAF;
  }

  stop(): void {
    clearInterval(this.#beat);
    this.#line?.reset();
    this.#client.disconnect();
  }

  /** The receiver of most pushes must be connected. It stores no messages. */
  async #listen(userId: number): Promise<void> {
    if (this.#line?.ended === false) return;
    clearInterval(this.#beat);
    const line = new Line(this.#target, { userId, protocol: 'lingxi.v1' });
    this.#line = line;
    this.#beat = setInterval(() => void line.fence(BEAT_MS), BEAT_MS);
    await line.opened();
  }

  /** From Redis. After a restart, a process listens to channels with its new name, soon after its start. */
  async #channels(): Promise<Channels | undefined> {
    const deadline = performance.now() + LISTENING_MS;
    for (;;) {
      const listed = (await this.#client.pubsub('CHANNELS')) as string[];
      const calls = listed.find((name) => CALLS.test(name));
      const other = listed.find((name) => name !== calls && name !== PUSH_CHANNEL);
      if (calls !== undefined && other !== undefined && listed.includes(PUSH_CHANNEL))
        return { names: { push: PUSH_CHANNEL, calls, other }, node: CALLS.exec(calls)?.[1] ?? '' };
      if (performance.now() > deadline) return undefined;
      await sleep(BEAT_MS / 10);
    }
  }
}

function hears({ client }: Witness, type: string): Promise<boolean> {
  return new Promise((resolve) => {
    const finish = (isHeard: boolean): void => {
      clearTimeout(timer);
      client.socket.off('message', listen);
      resolve(isHeard);
    };
    const listen = (data: Buffer): void => {
      if (data.includes(`"${type}"`)) finish(true);
    };
    const timer = setTimeout(() => finish(false), HEARD_MS);
    client.socket.on('message', listen);
    void client.closed.then(() => finish(false));
  });
}
