/** Deepest nesting of JSON that is accepted from anybody: in frames, bodies, and texts from Redis. */
export const MAX_JSON_DEPTH = 128;

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * Whether `text` nests deeper than {@link MAX_JSON_DEPTH}. It is asked before the text is parsed: parsers and writers of
 * JSON call themselves once a level, and a few thousand levels overflow the stack.
 */
export function isTooDeep(text: string): boolean {
  // A text that is not longer than the limit cannot be deeper.
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

/** The value of `text`; undefined where it is not JSON, or too deep. Never throws. */
export function parseJson(text: string): unknown {
  if (isTooDeep(text)) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/**
 * The JSON text of one member of an object, exactly as it was written: a number keeps digits that no number can hold.
 * `text` must be an object that JSON.parse accepts. Where the name stands twice the last one counts, as in JSON.parse.
 * Undefined where the object has no such member.
 */
export function memberText(text: string, name: string): string | undefined {
  let found: string | undefined;
  let index = afterSpace(text, afterSpace(text, 0) + 1);
  while (text.charCodeAt(index) === QUOTE) {
    const endOfName = endOfString(text, index) + 1;
    const start = afterSpace(text, afterSpace(text, endOfName) + 1);
    const end = endOfValue(text, start);
    if (isName(text.slice(index, endOfName), name)) found = text.slice(start, end);
    index = afterSpace(text, end);
    if (text.charCodeAt(index) === COMMA) index = afterSpace(text, index + 1);
  }
  return found;
}

/** A name may be written with escapes. */
function isName(written: string, name: string): boolean {
  if (!written.includes('\\')) return written.length === name.length + 2 && written.slice(1, -1) === name;
  return JSON.parse(written) === name;
}

/** Index of the first character at or after `start` that is not white space of JSON. */
function afterSpace(text: string, start: number): number {
  let index = start;
  while (isSpace(text.charCodeAt(index))) index += 1;
  return index;
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;
}

/** Index behind the value that begins at `start`. */
function endOfValue(text: string, start: number): number {
  let depth = 0;
  for (let index = start; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === QUOTE) {
      index = endOfString(text, index);
      if (depth === 0) return index + 1;
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      depth += 1;
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      // The end of the object around a number or a word.
      if (depth === 0) return index;
      depth -= 1;
      if (depth === 0) return index + 1;
    } else if (depth === 0 && (code === COMMA || isSpace(code))) {
      return index;
    }
  }
  return text.length;
}

/** Index of the closing quote of the string that opens at `start`, or the end of an unfinished one. */
function endOfString(text: string, start: number): number {
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
