import type { RedisLink } from '../redis/link.ts';

/** Length of the list of foreign keys. The next renewal of a node logs and empties it. */
const MAX_NOTED = 100;

/** Whether Redis reported that the key has another type. */
export function isForeignValue(error: unknown): boolean {
  return error instanceof Error && error.message.includes('WRONGTYPE');
}

/**
 * Removes a value of another program under the key of one of our streams, and notes the key for the log. Another node may do
 * the same, or write the stream meanwhile. So it watches the key and removes nothing but the foreign value. Rejects if Redis is
 * unreachable.
 */
export async function removeUnlessStream(link: RedisLink, key: string): Promise<void> {
  await link.apart(async (client) => {
    await client.watch(key);
    const type = await client.type(key);
    if (type === 'stream' || type === 'none') return;
    const noted = `${link.prefix}lingxi:foreign`;
    await client.multi().rpush(noted, key).ltrim(noted, -MAX_NOTED, -1).del(key).exec();
  });
}
