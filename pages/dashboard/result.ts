import type { UserDetails } from './readers.ts';

/** How long a result stays true. */
export type While = 'blocked' | 'unblocked' | 'connected' | 'unconnected';

/** The outcome of an action. */
export interface Result {
  readonly text: string;
  readonly isBad: boolean;
  /** Without it, a result stays until the next action. */
  readonly holdsWhile?: While | undefined;
}

/** Whether the result is true. Undefined: not known now. */
export function isSo(what: While, details: UserDetails | undefined): boolean | undefined {
  if (details === undefined) return undefined;
  if (what === 'blocked' || what === 'unblocked')
    return (details.blockedUntil !== null) === (what === 'blocked');
  if (details.connections.length > 0) return what === 'connected';
  return details.partial.length > 0 ? undefined : what === 'unconnected';
}
