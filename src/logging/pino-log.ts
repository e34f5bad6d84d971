import { type DestinationStream, destination as fileDestination, pino, stdTimeFunctions } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { GatheredOutput } from './gathered-output.ts';
import type { Log, LogFields } from './log.ts';
import { scrubFields, scrubText } from './scrub.ts';

type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';

export interface LogOptions {
  /** Default: `info`. */
  readonly level?: LogLevel;
  /** Coloured lines for a terminal instead of one JSON object a line. Default: no. */
  readonly pretty?: boolean;
  /** Default: standard output. */
  readonly destination?: LogDestination;
}

export interface LogDestination {
  write(line: string): void;
}

/** Largest number of bytes that wait for a slow reader of standard output. Beyond it lines are dropped to save memory. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

const STANDARD_OUTPUT = 1;

/** The log of a process. The process ends only after the last lines are written. */
export interface ProcessLog extends Log {
  /** Resolves once the system has all lines so far. It waits while the reader takes nothing. */
  flushed(): Promise<void>;
}

/**
 * The log of a process. JSON lines carry `level` as a word and `time` as ISO 8601 in UTC. Secret-like fields are
 * redacted and control characters escaped in both forms.
 */
export function createLog(options: LogOptions = {}): ProcessLog {
  const output = openDestination(options);
  const logger = pino(
    {
      level: options.level ?? 'info',
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      // Errors are already plain objects here; pino's own serializer would rename them.
      serializers: { err: (value: unknown) => value },
      formatters: { level: (label) => ({ level: label }) },
    },
    output,
  );
  const at =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (fields: LogFields, message: string): void => {
      if (logger.isLevelEnabled(level)) logger[level](scrubFields(fields), scrubText(message));
    };
  const flushed = async (): Promise<void> => output.flushed?.();
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), flushed };
}

interface Output extends DestinationStream {
  /** Absent if a write is complete when it returns. */
  flushed?(): Promise<void>;
}

function standardOutput(): Output {
  const file = fileDestination({ fd: STANDARD_OUTPUT, sync: false, maxLength: MAX_WAITING_BYTES });
  let isWriting = false;
  let isFailing = false;
  let waiting: (() => void)[] = [];
  const tried = (failed: boolean): void => {
    isWriting = false;
    isFailing = failed;
    const resolved = waiting;
    waiting = [];
    for (const resolve of resolved) resolve();
  };
  file.on('drain', () => tried(false));
  // As on a full disk. The server serves on, and the next line tries again with those that wait.
  file.on('error', () => tried(true));
  const gathered = new GatheredOutput({
    write(text) {
      isWriting = true;
      file.write(text);
    },
  });
  // This must run before the file's own listener, which flushes the file.
  process.prependListener('exit', () => {
    gathered.flush();
    // The file would try again for ever, and the process would never end.
    if (isFailing) file.destroy();
  });
  return {
    write: (line) => gathered.write(line),
    flushed() {
      gathered.flush();
      return isWriting ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve();
    },
  };
}

function openDestination(options: LogOptions): Output {
  if (options.pretty !== true) return options.destination ?? standardOutput();
  const out = options.destination ?? fileDestination({ fd: STANDARD_OUTPUT, sync: true });
  // pino runs in this thread: a worker would cost memory and lose the last lines of a crash.
  const pretty = prettyFactory({
    colorize: options.destination === undefined,
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  });
  return {
    write(line) {
      const text = pretty(line);
      out.write(text.endsWith('\n') ? text : `${text}\n`);
    },
  };
}
