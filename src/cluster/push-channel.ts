import { LossLog } from '../connection/loss-log.ts';
import type { Clock } from '../lib/clock.ts';
import { SlicedQueue } from '../lib/sliced-queue.ts';
import { logInternalError } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import type { Counters } from '../metrics/counters.ts';
import type { PushRequest } from '../protocol/delivery.ts';
import { parseUnansweredPush } from './push-request.ts';
import type { ChannelSubscriber } from './redis-bus.ts';

/** Messages of the channel that wait for their turn, and the characters of all of them. Further ones are lost, and counted. */
const MAX_WAITING = 200_000;
const MAX_WAITING_CHARACTERS = 67_108_864;

interface Waiting {
  readonly text: string;
  readonly since: number;
}

export interface PushChannelOptions {
  readonly channel: string;
  readonly clock: Pick<Clock, 'defer' | 'monotonic'>;
  readonly log: Log;
  readonly counters: Pick<Counters, 'pushChannelDropped'>;
  /** `since`: when it arrived, monotonic ms. */
  readonly push: (request: PushRequest, since: number) => void;
}

/**
 * Delivers pushes that other programs `PUBLISH` on the channel: at most once, without an answer. Their shape is that of `POST
 * /api/messages`. Anything else is logged and ignored. A burst is handled in slices (rule DL5).
 */
export async function listenOnPushChannel(
  subscriber: ChannelSubscriber,
  options: PushChannelOptions,
): Promise<void> {
  const { channel, clock, log, counters } = options;
  const waiting = new SlicedQueue<Waiting>({
    clock,
    run: (message) => handle(message, options),
    maxItems: MAX_WAITING,
    maxWeight: MAX_WAITING_CHARACTERS,
    weigh: ({ text }) => text.length,
  });
  const losses = new LossLog();
  subscriber.on('message', (from, text) => {
    if (from !== channel || waiting.push({ text, since: clock.monotonic() })) return;
    counters.pushChannelDropped += 1;
    const count = losses.add(1, { now: clock.monotonic(), isLast: false });
    if (count > 0)
      log.warn(
        { event: 'push-channel-full', channel, count },
        'other programs publish faster than this node delivers: what they published was dropped',
      );
  });
  await subscriber.subscribe(channel);
}

function handle({ text, since }: Waiting, { channel, log, push }: PushChannelOptions): void {
  try {
    const parsed = parseUnansweredPush(text);
    if (parsed.ok) push(parsed.value, since);
    else
      log.warn(
        { event: 'malformed-message', channel, field: parsed.error.field },
        'ignored what was published on the push channel',
      );
  } catch (error) {
    logInternalError(log, { where: 'bus', error, fields: { channel } });
  }
}
