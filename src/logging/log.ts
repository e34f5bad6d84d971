/** The stable values of the log field `event`. */
export type LogEvent =
  | 'connected'
  | 'disconnected'
  | 'heartbeat-timeout'
  | 'logged-out'
  | 'replaced'
  | 'message-dropped'
  | 'settled'
  | 'stall-credited'
  | 'mass-timeout-held'
  | 'draining'
  | 'refused'
  // These are not in the stable list of the contract, but have the same form.
  | 'started'
  | 'stopped'
  | 'audit'
  | 'presence-unavailable'
  | 'presence-restored'
  | 'settlement-unavailable'
  | 'settlement-restored'
  | 'settlement-failed'
  | 'settlement-set-aside'
  | 'settlement-refused'
  | 'malformed-message'
  | 'foreign-value'
  | 'push-channel-full'
  | 'push-rejected'
  | 'push-entries-taken-over'
  | 'push-stream-trimmed'
  | 'inbound-dropped'
  | 'config'
  | 'node-name-shared'
  | 'node-frames-missed'
  | 'revocation'
  | 'descriptors-exhausted'
  | 'internal-error';

export type LogFields = Readonly<Record<string, unknown>> & { readonly event: LogEvent };

/** The logger that every module gets. It is structured, and no caller passes a token to it. */
export interface Log {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
