import { CloseCode } from './close-codes.ts';
import type { ErrorCode } from './error-codes.ts';

/**
 * The close code that refuses an upgrade in band, with the stable code as its reason. A browser cannot read the status of a
 * refused upgrade. Undefined: this refusal always uses its HTTP status.
 */
export function inBandClose(code: ErrorCode): CloseCode | undefined {
  switch (code) {
    case 'invalid-token':
      return CloseCode.tokenExpired;
    case 'unknown-user':
      return CloseCode.unknownUser;
    case 'blocked':
      return CloseCode.blocked;
    case 'session-exists':
      return CloseCode.sessionExists;
    case 'session-flapping':
      return CloseCode.sessionFlapping;
    case 'missing-credentials':
    case 'missing-subprotocol':
    case 'invalid-user-id':
    case 'user-mismatch':
    // The database refuses this login every time, so a retry would not help.
    case 'settlement-refused':
      return CloseCode.badRequest;
    case 'overloaded':
    case 'draining':
    case 'presence-unavailable':
    case 'settlement-unavailable':
    case 'credentials-unavailable':
    case 'rate-limited':
      return CloseCode.refusedForNow;
    default:
      return undefined;
  }
}
