import type { RedisLink } from '../redis/link.ts';

/** The newest of the list of foreign keys, which the next renewal of a node empties and logs. */
const MAX_NOTED = 100;

/** Whether Redis said that the key holds another type. */
export function isForeignValue(error: unknown): boolean {
  return error instanceof Error && error.message.includes('WRONGTYPE');
}

/**
 * Removes what a foreign program has put in the place of one of our streams, and notes the key for the log. Another node may
 * do the same, and somebody may write a stream in between: the key is watched, so that nothing but the foreign value is
 * removed. Rejects where Redis is unreachable.
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
