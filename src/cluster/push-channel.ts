import { logInternalError } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import type { PushRequest } from '../protocol/delivery.ts';
import { parsePushText } from './push-request.ts';
import type { ChannelSubscriber } from './redis-bus.ts';

/**
 * Hears what foreign programs push by `PUBLISH <channel> '{"to":…,"type":…,"data":…}'`: at most once, no answer. The
 * shape is that of `POST /api/messages`; anything else is logged and ignored.
 */
export async function listenOnPushChannel(
  subscriber: ChannelSubscriber,
  listening: { readonly channel: string; readonly log: Log; readonly push: (request: PushRequest) => void },
): Promise<void> {
  const { channel, log, push } = listening;
  subscriber.on('message', (from, text) => {
    if (from !== channel) return;
    try {
      const parsed = parsePushText(text);
      if (parsed.ok) push(parsed.value);
      else
        log.warn(
          { event: 'malformed-message', channel, field: parsed.error.field },
          'ignored what was published on the push channel',
        );
    } catch (error) {
      logInternalError(log, { where: 'bus', error, fields: { channel } });
    }
  });
  await subscriber.subscribe(channel);
}
