import { namesIn } from '../../protocol/groups.ts';
import type { HeldUser } from '../api.ts';
import { givenNames } from '../rules/groups.ts';
import type { UserHold } from './hold.ts';
import type { Holds } from './holds.ts';
import type { PresenceOptions } from './options.ts';

type Options = Pick<PresenceOptions, 'clock' | 'time' | 'httpTimeoutMs'>;

/** The moment at which the users are listed. */
export interface LookMoment {
  /** Wall clock minus monotonic clock. */
  readonly offset: number;
  /** An older HTTP proof of life has expired (observed time). */
  readonly httpSince: number;
}

export function momentOf({ clock, time, httpTimeoutMs }: Options): LookMoment {
  return { offset: clock.now() - clock.monotonic(), httpSince: time.now() - httpTimeoutMs };
}

/** Lists the users that this node holds. Reads memory only. */
export function* heldUsers(holds: Holds, options: Options): IterableIterator<HeldUser> {
  const moment = momentOf(options);
  for (const hold of holds) {
    const user = heldUser(hold, moment);
    if (user !== undefined) yield user;
  }
}

/** Counts the users that this node holds without a socket and without a valid proof of life by HTTP. */
export function countLingering(holds: Holds, options: Options): number {
  const { httpSince } = momentOf(options);
  let count = 0;
  for (const hold of holds) if (hold.period > 0 && stateOf(hold, httpSince) === 'lingering') count += 1;
  return count;
}

/** Undefined if the node holds no period of the user. */
export function heldUser(hold: UserHold, moment: LookMoment): HeldUser | undefined {
  if (hold.period === 0) return undefined;
  const { userId, username, ip, loginTime, sockets } = hold;
  const { monotonic } = hold.newestProof();
  // After a failover the store may return a user who has proved no life to this node.
  const lastHeartbeat = Number.isFinite(monotonic) ? Math.round(monotonic + moment.offset) : loginTime;
  return {
    userId,
    username,
    ip,
    loginTime,
    lastHeartbeat,
    state: stateOf(hold, moment.httpSince),
    connections: sockets.length,
  };
}

/** The groups that the service gave, and those of the tokens of the connections on this node. */
export function heldGroups(hold: UserHold): readonly string[] {
  const names = new Set(givenNames(hold.givenGroups));
  for (const { groups } of hold.sockets) for (const name of namesIn(groups)) names.add(name);
  return [...names].sort();
}

function stateOf(hold: UserHold, httpSince: number): HeldUser['state'] {
  const { sockets } = hold;
  if (sockets.length === 0) return hold.httpProof.proof.observed > httpSince ? 'http' : 'lingering';
  // A socket that is about to open has sent no state yet.
  const isActive = sockets.some(
    (socket) => socket.kind === 'admitted' || socket.connection.clientState === 'active',
  );
  return isActive ? 'active' : 'background';
}
