import { describe, expect, it } from 'vitest';
import { ANY_WORLD, Leases } from '../../src/presence/rules/lease.ts';
import { claimOf } from '../support/presence-subject.ts';
import { type BrokenPorts, FreeRunningTime } from './broken-ports.ts';
import { type Mutation, mutateLeases } from './mutation.ts';
import { inOwnTurn } from './settle-promises.ts';
import { nodesOf, Stage } from './stage.ts';

const START_MS = 3000;
/** Longer than the heartbeat timeout of 10 s. */
const OUTAGE_MS = 11_000;

/** Random histories meet these faults too seldom to find the mutants. */
describe('a scene finds a mutant that random histories seldom find', () => {
  /** Whether a silent user is still connected after an outage of Redis that is longer than the timeout. */
  const survivesOutage = (broken: BrokenPorts): Promise<boolean> =>
    inOwnTurn(() => {
      const stage = new Stage({}, undefined, broken);
      stage.startNode();
      stage.startNode();
      stage.advance(START_MS);
      const device = stage.device(1);
      stage.connect(device, nodesOf(stage)[0]);
      const { socket } = device;
      if (socket !== undefined) socket.pings = false;
      stage.unreachable();
      stage.advance(OUTAGE_MS);
      const isOpen = socket?.isOpen === true;
      stage.host.down = false;
      return isOpen;
    });

  it('[PR10] in a node: timeouts do not freeze while presence is away', async () => {
    expect(await survivesOutage({})).toBe(true);
    expect(await survivesOutage({ time: (clock) => new FreeRunningTime(clock) })).toBe(false);
  });

  /** Whether a login must wait on a node that has not restored its holds, after the young window. */
  function unrestoredWaits(mutation: Mutation): boolean {
    const leases = new Leases();
    mutateLeases(mutation, leases);
    const renew = (node: string, restatedIn: string | undefined, wall: number): unknown =>
      leases.renew(
        { node, lease: '1', runId: 'run' },
        { restatedIn, lived: 0, highestEpoch: 0 },
        leases.momentAt(wall),
      );
    for (let wall = 0; wall <= 3000; wall += 500) renew('other', ANY_WORLD, wall);
    renew('late', undefined, 3000);
    return leases.delays('late', claimOf(1, { mode: 'socket', rev: 1, sockets: 1 }), leases.momentAt(3000));
  }

  it('[PR11] in the stores: a node opens periods before it has restored', () => {
    expect(unrestoredWaits({})).toBe(true);
    expect(unrestoredWaits({ unrestoredMayOpen: true })).toBe(false);
  });
});
