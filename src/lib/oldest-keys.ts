/** Share of the keys of a full map that is removed at once. */
const SHARE = 1 / 16;

/**
 * The oldest keys of a map: a sixteenth of them, at least one. A map keeps the places of deleted keys for a while. So to search
 * for the oldest key before each new key would visit all of these places.
 */
export function oldestKeys<Key>(map: ReadonlyMap<Key, unknown>): readonly Key[] {
  const oldest: Key[] = [];
  const wanted = Math.max(1, Math.floor(map.size * SHARE));
  for (const key of map.keys()) {
    if (oldest.length === wanted) break;
    oldest.push(key);
  }
  return oldest;
}
