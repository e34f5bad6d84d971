/** Deepest accepted nesting of JSON from any sender: in frames, bodies, and texts from Redis. */
export const MAX_JSON_DEPTH = 128;

const QUOTE = 0x22;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * Whether `text` nests deeper than {@link MAX_JSON_DEPTH}. Call it before parsing: parsers and writers of JSON call themselves
 * once per level, and a few thousand levels overflow the stack.
 */
export function isTooDeep(text: string): boolean {
  // A text no longer than the limit cannot be deeper.
  if (text.length <= MAX_JSON_DEPTH) return false;
  let depth = 0;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === QUOTE) {
      index = endOfString(text, index);
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      depth += 1;
      if (depth > MAX_JSON_DEPTH) return true;
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      depth -= 1;
    }
  }
  return false;
}

/** The value of `text`; undefined if it is not JSON, or nests too deep. Never throws. */
export function parseJson(text: string): unknown {
  if (isTooDeep(text)) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Whether a parsed value is an object and not an array. */
export function isJsonObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Index of the closing quote of the string that opens at `start`, or the end of the text if there is none. */
export function endOfString(text: string, start: number): number {
  let index = start + 1;
  for (;;) {
    index = text.indexOf('"', index);
    if (index === -1) return text.length;
    let backslashes = 0;
    while (text.charCodeAt(index - 1 - backslashes) === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return index;
    index += 1;
  }
}
