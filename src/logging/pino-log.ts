import { type DestinationStream, destination as fileDestination } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { type Clock, systemClock } from '../lib/clock.ts';
import { GatheredOutput } from './gathered-output.ts';
import type { Log, LogFields } from './log.ts';
import { jsonLine, printableFields, scrubFields, scrubText } from './scrub.ts';

/** In rising order of importance. A log shows its own level and the following ones. */
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
type LogLevel = (typeof LEVELS)[number];

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

/** Largest number of bytes that wait for a slow reader of standard output. Beyond it, the log drops lines to save memory. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

const STANDARD_OUTPUT = 1;

/** The log of a process. The process ends only after the last lines are written. */
export interface ProcessLog extends Log {
  /** Resolves once the system has all lines so far. It waits as long as the reader accepts nothing. */
  flushed(): Promise<void>;
}

/**
 * The log of a process. JSON lines carry `level` as a word and `time` as ISO 8601 in UTC. Secret-like fields are
 * redacted and control characters escaped in both forms.
 */
export function createLog(options: LogOptions = {}): ProcessLog {
  const output = openDestination(options);
  const lowest = LEVELS.indexOf(options.level ?? 'info');
  const time = isoTime(systemClock());
  const at = (level: 'debug' | 'info' | 'warn' | 'error'): Log[typeof level] => {
    if (LEVELS.indexOf(level) < lowest) return () => {};
    return (fields: LogFields, message: string): void => {
      // Uses the encoder of the engine. The one of pino joins a hundred pieces of text, which costs a login 4 % on Bun (ADR
      // 0024).
      const line = { level, time: time(), ...scrubFields(fields), msg: scrubText(message) };
      output.write(`${jsonLine(options.pretty === true ? printableFields(line) : line)}\n`);
    };
  };
  const flushed = async (): Promise<void> => output.flushed?.();
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'), flushed };
}

/** The present time in ISO 8601. In a burst, many lines share one text. */
function isoTime(clock: Pick<Clock, 'now'>): () => string {
  let at = Number.NaN;
  let text = '';
  return () => {
    const now = clock.now();
    if (now !== at) {
      at = now;
      text = new Date(now).toISOString();
    }
    return text;
  };
}

interface Output extends DestinationStream {
  /** Absent if each write is complete when it returns. */
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
  // For example on a full disk. The server continues, and the next line tries again together with the waiting ones.
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
    // Otherwise the file would try again forever, and the process would never end.
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
