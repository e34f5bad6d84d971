/** Deeper nesting is cut, so that a log line stays one line. */
const MAX_DEPTH = 4;
const MAX_ITEMS = 50;
const MAX_STRING = 4096;
const REDACTED = '[redacted]';

const SECRET_NAME = /token|authorization|secret|password|passwd|(?:api|view)[_-]?key|cookie|credential|jwt/i;
// C0 and C1 controls, DEL, and the line separators that some viewers break at.
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;
// This set has no control character, and every form of SECRET_TEXT has a character outside it.
const PLAIN = /^[\w-]*$/;
const CONTROLS = new RegExp(CONTROL, 'g');
const SECRET_TEXT =
  /\bbearer[ .]+[^\s,;"']{12,}|\b(token|ticket)=[^&\s"']+|\beyJ[\w-]*\.[\w-]+\.[\w-]*|:\/\/[^/\s:@]*:[^/\s@]+@/gi;

/**
 * A copy of log fields that is safe to print. It replaces values under secret-like names and secrets within texts, and
 * writes control characters as escapes. No module logs a token; this is the second line of defence.
 */
export function scrubFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return scrubRecord(fields, 0);
}

/** The same for one text. */
export function scrubText(text: string): string {
  if (text.length <= MAX_STRING && PLAIN.test(text)) return text;
  const short = text.length > MAX_STRING ? `${text.slice(0, MAX_STRING)}…` : text;
  return escapeControls(hideSecrets(short));
}

function scrubRecord(record: Readonly<Record<string, unknown>>, depth: number): Record<string, unknown> {
  const clean: Record<string, unknown> = {};
  let items = 0;
  for (const name of Object.keys(record)) {
    if (items++ >= MAX_ITEMS) break;
    const value = record[name];
    clean[name] = isSecret(name, value) ? REDACTED : scrubValue(value, depth);
  }
  return clean;
}

function isSecret(name: string, value: unknown): boolean {
  return typeof value !== 'number' && typeof value !== 'boolean' && SECRET_NAME.test(name);
}

function scrubValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return scrubText(value);
  if (typeof value === 'bigint') return value.toString();
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
    type: error.name,
    message: scrubText(error.message),
    ...('code' in error ? { code: scrubValue(error.code, depth + 1) } : {}),
    // Line by line: a stack has its own line breaks, but the text between them may come from outside.
    stack: (error.stack ?? '')
      .slice(0, MAX_STRING)
      .split('\n')
      .map((line) => scrubText(line))
      .join('\n'),
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
