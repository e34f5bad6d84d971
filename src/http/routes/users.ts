import { z } from '@hono/zod-openapi';
import { ok } from '../../lib/result.ts';
import { type Outcome, refused } from '../outcome.ts';
import { addRoute, audit, bodyOf, type Call, type RouteTable, userIdOf } from '../route.ts';
import { TimeMs, UserIdOut, UserIdParam } from '../schemas.ts';

/** Longest time for which one call may block a user: 30 days. */
const MAX_BLOCK_MS = 2_592_000_000;
const MAX_REASON_LENGTH = 128;

const UserPath = z.object({ id: UserIdParam });

const ConnectionsAnswer = z.object({
  userId: UserIdOut,
  connections: z.array(
    z.object({
      connectionId: z.string(),
      node: z.string(),
      since: TimeMs,
      epoch: z.string().openapi({ description: 'Decimal string.' }),
      address: z.string(),
      protocol: z.enum(['seed', 'lingxi.v1']),
      state: z.enum(['active', 'background']),
      queue: z.int().openapi({ description: 'Messages behind the socket.' }),
      queueBytes: z.int(),
    }),
  ),
});

const DisconnectBody = z
  .object({
    reason: z.string().max(MAX_REASON_LENGTH).optional().openapi({ description: 'For the audit line.' }),
    blockMs: z
      .int()
      .min(0)
      .max(MAX_BLOCK_MS)
      .optional()
      .openapi({ description: 'Refuse upgrades of the user for this long.' }),
  })
  .openapi('Disconnect');

const DisconnectAnswer = z.object({
  userId: UserIdOut,
  logoutTime: TimeMs.optional(),
  blockedUntil: TimeMs.optional(),
});

/** What the service sees of a user's sockets, and how it ends them. */
export function addUsersRoutes(table: RouteTable): void {
  addRoute(table, {
    method: 'get',
    path: '/api/users/{id}/connections',
    access: 'service',
    tag: 'Users',
    summary: "A user's connections",
    params: UserPath,
    answer: ConnectionsAnswer,
    errors: ['invalid-user-id'],
    handle: connections,
  });
  addRoute(table, {
    method: 'post',
    path: '/api/users/{id}/disconnect',
    access: 'service',
    tag: 'Users',
    summary: 'Ends the period and closes the sockets 4002; may block the user for a while',
    description: 'A block also holds for a user who is offline; without one that is 404 `not-online`.',
    params: UserPath,
    body: DisconnectBody,
    bodyOptional: true,
    answer: DisconnectAnswer,
    errors: ['invalid-user-id', 'not-online', 'presence-unavailable'],
    handle: disconnect,
  });
}

function connections(call: Call): Outcome {
  const userId = userIdOf(call, 'id', call.context.req.param('id'));
  if (!userId.ok) return userId;
  const { node } = call.deps;
  return ok(
    call.context.json({
      userId: userId.value,
      connections: call.deps.connections.ofUser(userId.value).map((info) => ({
        connectionId: info.connectionId,
        node,
        since: info.since,
        epoch: String(info.epoch),
        address: info.ip,
        protocol: info.protocol,
        state: info.state,
        queue: info.queue,
        queueBytes: info.queueBytes,
      })),
    }),
  );
}

async function disconnect(call: Call): Promise<Outcome> {
  const userId = userIdOf(call, 'id', call.context.req.param('id'));
  if (!userId.ok) return userId;
  const body = await bodyOf(call, DisconnectBody, { optional: true });
  if (!body.ok) return body;
  const { reason, blockMs } = body.value;
  const result = await call.deps.presence.logout({
    userId: userId.value,
    reason: 'kick',
    ...(blockMs === undefined ? {} : { blockMs }),
  });
  audit(call, 'disconnect', {
    userId: userId.value,
    reason,
    blockMs,
    outcome: result.ok ? 'ended' : result.error,
  });
  const blocks = blockMs !== undefined && blockMs > 0;
  // The block of a user who is offline holds all the same.
  if (!result.ok && !(blocks && result.error === 'not-online')) return refused(result.error);
  return ok(
    call.context.json({
      userId: userId.value,
      logoutTime: result.ok ? result.value.logoutTime : undefined,
      blockedUntil: blocks ? call.deps.clock.now() + blockMs : undefined,
    }),
  );
}
