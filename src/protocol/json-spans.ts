import { endOfString } from './json-text.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** The members of one object: each key with the text of its value, exactly as the sender wrote it. */
export type ValueTexts = ReadonlyMap<string, string>;

const NO_VALUES: ValueTexts = new Map();

/**
 * Cuts the values of the outermost object out of JSON text. So a value can be forwarded without being parsed and written again:
 * `9007199254740993`, `1e999`, `-0`, the order of keys and lone surrogate escapes stay unchanged. If a key occurs twice, the last
 * value counts, as in `JSON.parse`. A text that is not an object has no members.
 *
 * `text` must be JSON that `JSON.parse` accepts: this function checks nothing. It makes one pass and no copy of the text.
 */
export function topLevelValues(text: string): ValueTexts {
  const start = skipSpace(text, 0);
  return text.charCodeAt(start) === OPEN_OBJECT ? membersAt(text, start).values : NO_VALUES;
}

/** As {@link topLevelValues}, for each item of an array, in order. An item that is not an object has no members. */
export function topLevelValuesOfEach(text: string): readonly ValueTexts[] {
  const items: ValueTexts[] = [];
  let at = skipSpace(text, skipSpace(text, 0) + 1);
  while (at < text.length && text.charCodeAt(at) !== CLOSE_ARRAY) {
    if (text.charCodeAt(at) === OPEN_OBJECT) {
      const { values, end } = membersAt(text, at);
      items.push(values);
      at = end;
    } else {
      items.push(NO_VALUES);
      at = endOfValue(text, at);
    }
    at = skipSeparator(text, at);
  }
  return items;
}

/** The members of the object that opens at `start`, and the index after its closing brace. */
function membersAt(text: string, start: number): { readonly values: ValueTexts; readonly end: number } {
  const values = new Map<string, string>();
  let at = skipSpace(text, start + 1);
  while (at < text.length && text.charCodeAt(at) !== CLOSE_OBJECT) {
    const keyEnd = endOfString(text, at) + 1;
    const key = keyOf(text.slice(at, keyEnd));
    const valueStart = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const valueEnd = endOfValue(text, valueStart);
    values.set(key, text.slice(valueStart, valueEnd));
    at = skipSeparator(text, valueEnd);
  }
  return { values, end: at + 1 };
}

/** A key may be written with escapes: `"d\u0061ta"` is `data`. */
function keyOf(quoted: string): string {
  return quoted.includes('\\') ? String(JSON.parse(quoted)) : quoted.slice(1, -1);
}

/** Index after the value that begins at `start`. */
function endOfValue(text: string, start: number): number {
  let depth = 0;
  let at = start;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at) + 1;
      if (depth === 0) return at;
    } else if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
      depth += 1;
      at += 1;
    } else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) {
      // At depth 0, this bracket closes the parent of the value.
      if (depth === 0) return at;
      depth -= 1;
      at += 1;
      if (depth === 0) return at;
    } else if (depth === 0 && (code === COMMA || isSpace(code))) {
      return at;
    } else {
      at += 1;
    }
  }
  return at;
}

function skipSeparator(text: string, start: number): number {
  const at = skipSpace(text, start);
  return text.charCodeAt(at) === COMMA ? skipSpace(text, at + 1) : at;
}

function skipSpace(text: string, start: number): number {
  let at = start;
  while (isSpace(text.charCodeAt(at))) at += 1;
  return at;
}

/** The four characters that count as white space in JSON (RFC 8259 section 2). */
function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}
