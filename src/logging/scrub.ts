/** Deeper nesting is cut, so that a log line stays one line. */
const MAX_DEPTH = 4;
const MAX_ITEMS = 50;
const MAX_STRING = 4096;
const REDACTED = '[redacted]';
const UNREADABLE = '[unreadable]';

const SECRET_NAME = /token|authorization|secret|password|passwd|(?:api|view)[_-]?key|cookie|credential|jwt/i;
// C0 and C1 controls, DEL, the line separators that some viewers break at, and the characters that change the text direction.
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;
// Every match of SECRET_TEXT has a character outside this set.
const PLAIN = /^[\w-]*$/;
const CONTROLS = new RegExp(CONTROL, 'g');
const SECRET_TEXT =
  /\bbearer[ .]+[^\s,;"']{12,}|\b(token|ticket)=[^&\s"']+|\beyJ[\w-]*\.[\w-]+\.[\w-]*|:\/\/[^/\s:@]*:[^/\s@]+@/gi;

/**
 * A copy of log fields without secrets. It masks values under secret-like names, and secrets within texts. No module logs a
 * token; this is a second line of defence.
 */
export function scrubFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return scrubRecord(fields, 0);
}

/** The same for one text. */
export function scrubText(text: string): string {
  if (text.length <= MAX_STRING && PLAIN.test(text)) return text;
  return hideSecrets(text.length > MAX_STRING ? `${text.slice(0, MAX_STRING)}…` : text);
}

/** A record as JSON that is safe to print: one line, with control characters escaped. */
export function jsonLine(record: Readonly<Record<string, unknown>>): string {
  // The encoder escapes the C0 controls, but not the others.
  return escapeControls(JSON.stringify(record));
}

/** The texts of scrubbed fields with control characters escaped, for a format that prints them raw. */
export function printableFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return mapTexts(fields) as Record<string, unknown>;
}

function mapTexts(value: unknown, name?: string): unknown {
  // Line by line, because a stack has line breaks of its own.
  if (typeof value === 'string')
    return name === 'stack' ? value.split('\n').map(escapeControls).join('\n') : escapeControls(value);
  if (Array.isArray(value)) return value.map((item) => mapTexts(item));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [escapeControls(key), mapTexts(item, key)]),
  );
}

function scrubRecord(record: Readonly<Record<string, unknown>>, depth: number): Record<string, unknown> {
  const clean: Record<string, unknown> = {};
  let items = 0;
  for (const name of Object.keys(record)) {
    if (items++ >= MAX_ITEMS) break;
    try {
      const value = record[name];
      clean[name] = isSecret(name, value) ? REDACTED : scrubValue(value, depth);
    } catch {
      // An object that an application throws may itself throw when it is read. The line must be written anyway.
      clean[name] = UNREADABLE;
    }
  }
  return clean;
}

function isSecret(name: string, value: unknown): boolean {
  return typeof value !== 'number' && typeof value !== 'boolean' && SECRET_NAME.test(name);
}

function scrubValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return scrubText(value);
  if (typeof value === 'bigint') return value.toString();
  // The encoder would call a function named `toJSON`.
  if (typeof value === 'function') return undefined;
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= MAX_DEPTH) return '[deep]';
  if (value instanceof Error) return scrubError(value, depth);
  if (Array.isArray(value)) {
    return value.slice(0, MAX_ITEMS).map((item) => scrubValue(item, depth + 1));
  }
  return scrubRecord(value as Readonly<Record<string, unknown>>, depth + 1);
}

function scrubError(error: Error, depth: number): Record<string, unknown> {
  return {
    type: scrubValue(error.name, depth + 1),
    message: scrubValue(error.message, depth + 1),
    ...('code' in error ? { code: scrubValue(error.code, depth + 1) } : {}),
    stack: scrubText((error.stack ?? '').slice(0, MAX_STRING)),
    ...(error.cause === undefined ? {} : { cause: scrubValue(error.cause, depth + 1) }),
  };
}

function hideSecrets(text: string): string {
  return text.replace(SECRET_TEXT, (found, name: string | undefined) => {
    if (name !== undefined) return `${name}=${REDACTED}`;
    return found.startsWith('://') ? `://${REDACTED}@` : REDACTED;
  });
}

function escapeControls(text: string): string {
  if (!CONTROL.test(text)) return text;
  return text.replace(CONTROLS, (character) =>
    character === '\n' ? '\\n' : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
