import { topLevelValues } from './json-spans.ts';

const PING_START = '{"type":"ping"';
const PING_TIMESTAMP = ',"timestamp":';
const MAX_PING_LENGTH = 64;

/**
 * Recognises the most frequent message by far without a JSON parser: `{"type":"ping"}` or `{"type":"ping","timestamp":<digits>}`.
 * Returns the digits, or the empty string if there are none. For any other text, which may still be a ping in another form, it
 * returns undefined.
 */
export function matchPing(text: string): string | undefined {
  const end = text.length - 1;
  if (end > MAX_PING_LENGTH || !text.startsWith(PING_START) || text.charCodeAt(end) !== 0x7d)
    return undefined;
  if (end === PING_START.length) return '';
  const digitsAt = PING_START.length + PING_TIMESTAMP.length;
  if (!text.startsWith(PING_TIMESTAMP, PING_START.length) || digitsAt >= end) return undefined;
  if (text.charCodeAt(digitsAt) === 0x30 && end > digitsAt + 1) return undefined;
  for (let index = digitsAt; index < end; index += 1) {
    const code = text.charCodeAt(index);
    if (code < 0x30 || code > 0x39) return undefined;
  }
  return text.slice(digitsAt, end);
}

/** The JSON text of the top-level `timestamp` of a ping that was parsed from `text`. Empty if the ping has none. */
export function pingTimestamp(text: string): string {
  return topLevelValues(text).get('timestamp') ?? '';
}
