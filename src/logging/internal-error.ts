import type { Log, LogFields } from './log.ts';

/** Where an exception was caught: the entry point of the interrupted work. */
export type ErrorPlace =
  /** A frame, or another event of a client's socket. */
  | 'socket'
  | 'timer'
  /** A message from Redis. */
  | 'bus'
  /** A listener of the application that embeds the gateway. */
  | 'listener'
  /** Background work: no caller waits for it. */
  | 'background';

export interface InternalError {
  readonly where: ErrorPlace;
  readonly error: unknown;
  /** Further fields of the line. They never contain text from a client. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** Largest number of lines for one place in one second. Further exceptions are counted but not logged. */
const MAX_LINES = 10;
/** The same for a warning that any program with access to Redis can cause at will. */
const MAX_WARNINGS = 100;
const LIMITED_WARNINGS: ReadonlySet<string> = new Set([
  'malformed-message',
  'node-frames-missed',
  'push-rejected',
]);
const WINDOW_MS = 1000;

/** Logs an exception that is a bug. Its work is lost; everything else continues. Never throws. */
export function logInternalError(log: Log, { where, error, fields }: InternalError): void {
  try {
    log.error(
      { event: 'internal-error', where, ...fields, err: error },
      'a bug: what was being done is dropped',
    );
  } catch {
    // The log itself throws, so there is no place to report it.
  }
}

/** Runs `work` in the background. A rejection is a bug: it is logged and stops nothing else. */
export function inBackground(log: Log, work: Promise<unknown>): void {
  work.catch((error: unknown) => logInternalError(log, { where: 'background', error }));
}

/**
 * A log that counts the lines `internal-error` by their place, so that the counter and the log always agree. It limits these
 * lines per second, because a bug at each frame of a client must not fill a disk.
 */
export function countingErrors(
  log: Log,
  counting: { readonly counts: Map<string, number>; readonly monotonic: () => number },
): Log {
  const windows = new Map<string, { start: number; lines: number }>();
  const isBeyond = (place: string, most: number): boolean => {
    const now = counting.monotonic();
    const window = windows.get(place) ?? { start: now, lines: 0 };
    if (now - window.start >= WINDOW_MS) {
      window.start = now;
      window.lines = 0;
    }
    window.lines += 1;
    windows.set(place, window);
    return window.lines > most;
  };
  const error = (fields: LogFields, message: string): void => {
    if (fields.event === 'internal-error') {
      const place = typeof fields['where'] === 'string' ? fields['where'] : 'other';
      counting.counts.set(place, (counting.counts.get(place) ?? 0) + 1);
      if (isBeyond(place, MAX_LINES)) return;
    }
    log.error(fields, message);
  };
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn(fields, message) {
      if (LIMITED_WARNINGS.has(fields.event) && isBeyond(fields.event, MAX_WARNINGS)) return;
      log.warn(fields, message);
    },
    error,
  };
}
