/**
 * SQLSTATE classes for a fault of the row itself: cardinality (21), data (22), constraint (23), triggered action (27), view
 * check (44), raised by a trigger (P0). Every other error may be temporary: a lost connection, a deadlock, a read-only
 * standby, a missing grant.
 */
const PERMANENT_SQLSTATE = /^(?:21|22|23|27|44|P0)[0-9A-Z]{3}$/;
const NAMED_BY_SQL = ['table', 'column', 'constraint'];
const PERMANENT_SQLITE = /^SQLITE_(?:CONSTRAINT|MISMATCH|TOOBIG|RANGE)/;

/** Whether the same statement with the same rows always fails, so that the bad row must be found (rule ST7). */
export function isPermanentError(error: unknown): boolean {
  if (error instanceof TypeError || error instanceof RangeError) return true;
  const code = errorCode(error);
  return code !== undefined && (PERMANENT_SQLSTATE.test(code) || PERMANENT_SQLITE.test(code));
}

/** SQLSTATE `lock_not_available`. */
const LOCKED = '55P03';

/** Whether another transaction holds a row that this one did not wait for. */
export function isLocked(error: unknown): boolean {
  return errorCode(error) === LOCKED;
}

export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' && error.code !== '' ? error.code : undefined;
}

/** SQL's error, for a log line. It omits `detail`, which has the values of the row. */
export function sqlErrorFields(error: unknown): Readonly<Record<string, string>> {
  const fields: Record<string, string> = { error: describeError(error) };
  const code = errorCode(error);
  if (code !== undefined) fields['sqlState'] = code;
  if (typeof error !== 'object' || error === null) return fields;
  for (const [name, value] of Object.entries(error)) {
    if (NAMED_BY_SQL.includes(name) && typeof value === 'string') fields[name] = value;
  }
  return fields;
}

/** A cause in a few words for a log line or a sentence. */
export function describeError(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message || errorCode(error) || 'unknown error';
}
