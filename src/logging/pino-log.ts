import { type DestinationStream, destination as fileDestination, pino, stdTimeFunctions } from 'pino';
import { prettyFactory } from 'pino-pretty';
import type { Config } from '../config/config.ts';
import { GatheredOutput } from './gathered-output.ts';
import type { Log, LogFields } from './log.ts';
import { scrubFields, scrubText } from './scrub.ts';

export interface LogOptions {
  readonly level: Config['logLevel'];
  /** Coloured lines for a terminal instead of one JSON object a line. */
  readonly pretty: boolean;
  /** Default: standard output. */
  readonly destination?: LogDestination;
}

export interface LogDestination {
  write(line: string): void;
}

/** Bytes that wait for a slow reader of standard output; beyond, lines are dropped rather than memory eaten. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

const STANDARD_OUTPUT = 1;

/**
 * The log of a process. JSON lines carry `level` as a word and `time` as ISO 8601 in UTC. Secret-like fields are
 * redacted and control characters escaped in both forms.
 */
export function createLog(options: LogOptions): Log {
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      // Errors are already plain when they come here; pino's own serializer would rename them.
      serializers: { err: (value: unknown) => value },
      formatters: { level: (label) => ({ level: label }) },
    },
    openDestination(options),
  );
  const at =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (fields: LogFields, message: string): void => {
      if (logger.isLevelEnabled(level)) logger[level](scrubFields(fields), scrubText(message));
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function standardOutput(): DestinationStream {
  const file = fileDestination({ fd: STANDARD_OUTPUT, sync: false, maxLength: MAX_WAITING_BYTES });
  const gathered = new GatheredOutput(file);
  // Before the file's own listener, which writes out what waits in it.
  process.prependListener('exit', () => gathered.flush());
  return gathered;
}

function openDestination(options: LogOptions): DestinationStream {
  if (!options.pretty) return options.destination ?? standardOutput();
  const out = options.destination ?? fileDestination({ fd: STANDARD_OUTPUT, sync: true });
  // In this thread: a worker would cost memory and lose the last lines of a crash.
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
