import { sleep } from '../../lib/clock.ts';
import type { Claim, ClaimAnswer } from '../store/port.ts';
import type { NodePresence } from './holds.ts';

/** How often and how long a login is stated again while the store restores or another node opens the period. */
const RETRY_INTERVAL_MS = 100;
const MAX_ATTEMPTS = 30;

/**
 * States until the store takes it or refuses it; `stale` where the client left before that. Undefined: nobody knows
 * what the store made of it.
 */
export async function repeatClaim(
  presence: NodePresence,
  statement: () => Claim,
  hasLeft: () => boolean = () => false,
): Promise<ClaimAnswer | undefined> {
  let isInDoubt = false;
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    if (hasLeft()) return isInDoubt ? undefined : { kind: 'stale' };
    const answer = await presence.claim(statement(), hasLeft);
    if (answer === undefined || answer.kind === 'no-lease') presence.leaseDoubtful();
    isInDoubt ||= answer === undefined;
    const isAgain =
      answer === undefined ? attempt === 0 : ['young', 'no-lease', 'lost', 'stale'].includes(answer.kind);
    if (!isAgain) return answer;
    await sleep(presence.options.clock, RETRY_INTERVAL_MS);
  }
  return undefined;
}
