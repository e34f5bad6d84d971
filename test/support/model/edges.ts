import type { ExpectedRedis } from './expected-redis.ts';

/** An observed time at which something ends: a deadline, a window, or an expiry. */
export interface Edge {
  readonly at: number;
  /** The user of this edge, if there is exactly one. */
  readonly userId: number | undefined;
}

/** The edges after this wall-clock time, and some earlier ones. */
export function* edgesOf(
  { world, settings, mirrors, timelines }: ExpectedRedis,
  wall: number,
): Iterable<Edge> {
  const { observed } = world.leases.momentAt(wall);
  const { deadAfterMs, responsiveLeftMs } = settings;
  const start = world.leases.world?.start ?? 0;
  for (const at of [start + 2000, start + 2500]) yield { at, userId: undefined };
  for (const { seen } of world.leases.nodes.values()) yield { at: seen + deadAfterMs, userId: undefined };
  for (const { userId, holds, openedAt, takeovers, blockedUntil, expiresAt = 0 } of world.records.values()) {
    const times = [openedAt + 1500, blockedUntil, expiresAt - wall + observed];
    times.push(...takeovers.map((at) => at + 60_000));
    for (const [node, { socketUntil, httpUntil, until }] of holds) {
      times.push(socketUntil, httpUntil, socketUntil - responsiveLeftMs, until - wall + observed);
      times.push((world.leases.nodes.get(node)?.seen ?? 0) + 3000);
    }
    for (const at of times) yield { at, userId };
  }
  for (const [userId, { expiresAt }] of world.endings) yield { at: expiresAt - wall + observed, userId };
  for (const { deadline } of [...mirrors.values(), ...timelines.values()])
    yield { at: deadline - wall + observed, userId: undefined };
}
