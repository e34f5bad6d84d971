import { CloseCode } from '../protocol/close-codes.ts';
import type { CloseCause } from './connection-info.ts';

/** The close code that a peer sees for each cause. */
export const CAUSE_CODES: Readonly<Record<CloseCause, number>> = {
  'client-closed': CloseCode.normal,
  // Nobody is left to see a code: this end was noticed, not made.
  'connection-lost': CloseCode.internalError,
  'transport-error': CloseCode.internalError,
  'heartbeat-timeout': CloseCode.heartbeatTimeout,
  'read-timeout': CloseCode.heartbeatTimeout,
  'slow-consumer': CloseCode.slowConsumer,
  replaced: CloseCode.replaced,
  logout: CloseCode.loggedOut,
  kick: CloseCode.kicked,
  'token-expired': CloseCode.tokenExpired,
  'policy-violation': CloseCode.policyViolation,
  'presence-lost': CloseCode.presenceLost,
  'internal-error': CloseCode.internalError,
  shutdown: CloseCode.serviceRestart,
};

/** Causes after which a client may come back, and is told so. */
export const SAYS_GOODBYE: ReadonlySet<CloseCause> = new Set([
  'heartbeat-timeout',
  'read-timeout',
  'slow-consumer',
  'presence-lost',
  'shutdown',
]);
