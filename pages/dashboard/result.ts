import type { UserDetails } from './readers.ts';

/** For how long a result is true. */
export type While = 'blocked' | 'unblocked' | 'connected' | 'unconnected';

/** What came of an action. */
export interface Result {
  readonly text: string;
  readonly isBad: boolean;
  /** A result without it stays until the next action. */
  readonly holdsWhile?: While | undefined;
}

/** Whether it is so. Undefined: nobody knows now. */
export function isSo(what: While, details: UserDetails | undefined): boolean | undefined {
  if (details === undefined) return undefined;
  if (what === 'blocked' || what === 'unblocked')
    return (details.blockedUntil !== null) === (what === 'blocked');
  if (details.connections.length > 0) return what === 'connected';
  return details.partial.length > 0 ? undefined : what === 'unconnected';
}
