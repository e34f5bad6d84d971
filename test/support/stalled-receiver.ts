import type { Gateway } from './gateway-process.ts';
import { eventually, sleep } from './ports.ts';
import { openRawWebSocket } from './raw-socket.ts';

/** Larger than a message that a test looks for, and smaller than the limit of a body. */
const FILLER = 'x'.repeat(500_000);
/** A kernel accepts some megabytes before it holds bytes back. */
const MOST_FILLERS = 60;
/** On a busy machine the kernel still moves bytes between buffers for some time after it held some back. */
const SETTLE_MS = 200;

/** A client that reads nothing until `readUntil` is called: its socket and the buffers before it are full. */
export interface StalledReceiver {
  readonly user: number;
  /** Number of fillers that the socket accepted completely, plus one that it holds in part. */
  readonly fillers: number;
  /**
   * Reads again until a message of this type has arrived. Returns the `[type, data]` of all messages except fillers, in order.
   */
  readUntil(type: string): Promise<readonly (readonly [string, unknown])[]>;
  destroy(): void;
}

/** Connects, and pushes through `from` until a message is queued and stays. */
export async function openStalledReceiver(
  gateway: Gateway,
  user: number,
  from = gateway,
): Promise<StalledReceiver> {
  const raw = await openRawWebSocket(gateway.port(), gateway.token(user));
  raw.socket.pause();
  let fillers = 0;
  do {
    if (fillers === MOST_FILLERS) throw new Error('the socket takes everything');
    fillers += 1;
    const body = { to: { userId: user }, type: 'filler', data: FILLER };
    const answer = await from.service('POST', '/api/messages', body);
    if (!('queued' in (answer.body['counts'] as object))) continue;
    await sleep(SETTLE_MS);
  } while (!(await holdsBytesBack(gateway, user)));
  return {
    user,
    fillers,
    async readUntil(type) {
      raw.socket.resume();
      return eventually(() => {
        const envelopes = raw
          .frames()
          .filter(({ opcode }) => opcode === 1)
          .map(({ payload }) => JSON.parse(payload.toString('utf8')) as { type: string; data: unknown });
        const seen = envelopes.map((envelope) => [envelope.type, envelope.data] as const);
        if (!seen.some(([name]) => name === type))
          throw new Error(`no ${type} among ${seen.length} messages`);
        return seen.filter(([name]) => name !== 'filler');
      });
    },
    destroy: () => raw.destroy(),
  };
}

async function holdsBytesBack(gateway: Gateway, user: number): Promise<boolean> {
  const answer = await gateway.service('GET', `/api/users/${user}/connections`);
  const [connection] = answer.body['connections'] as readonly { readonly queueBytes: number }[];
  return (connection?.queueBytes ?? 0) > 0;
}
