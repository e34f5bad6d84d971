import { z } from '@hono/zod-openapi';
import { ok } from '../../lib/result.ts';
import type { PlacedConnection } from '../../overview/api.ts';
import { type Outcome, refused } from '../outcome.ts';
import { addRoute, audit, blockedUntil, bodyOf, type Call, type RouteTable, userIdOf } from '../route.ts';
import { BlockedUntil, BlockMsIn, TimeMs, UserIdOut, UserIdParam } from '../schemas.ts';
import { ConnectionOut, PartialNodes } from './dashboard.schemas.ts';

const MAX_REASON_LENGTH = 128;

const UserPath = z.object({ id: UserIdParam });

const ConnectionsAnswer = z.object({
  userId: UserIdOut,
  connections: z.array(ConnectionOut),
  partial: PartialNodes,
});

const DisconnectBody = z
  .strictObject({
    reason: z.string().max(MAX_REASON_LENGTH).optional().openapi({
      description: 'For the timeline, the audit line, and the close frame (its first 123 bytes).',
    }),
    blockMs: BlockMsIn,
  })
  .openapi('Disconnect');

const DisconnectAnswer = z.object({
  userId: UserIdOut,
  logoutTime: TimeMs.optional(),
  blockedUntil: BlockedUntil,
});

const RevokeAnswer = z.object({
  userId: UserIdOut,
  revokedAt: TimeMs.openapi({ description: 'Tokens issued at this time or earlier are void.' }),
  connections: z.int().nullable().openapi({
    description: 'Connections that the user had on all nodes, which are closed; null if that is not known.',
  }),
});

/** Lets the service see a user's sockets, and end them. */
export function addUsersRoutes(table: RouteTable): void {
  addRoute(table, {
    method: 'get',
    path: '/api/users/{id}/connections',
    access: 'service',
    tag: 'Users',
    summary: "A user's connections, on all nodes",
    description: 'A node that does not answer within 300 ms is named in `partial`.',
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
    description:
      '`blockMs` also counts for a user who is offline; without it that is 404 `not-online`. `{"blockMs": 0}` lifts a block.',
    params: UserPath,
    body: DisconnectBody,
    bodyOptional: true,
    answer: DisconnectAnswer,
    errors: ['invalid-user-id', 'not-online', 'presence-unavailable'],
    handle: disconnect,
  });
  addRoute(table, {
    method: 'post',
    path: '/api/users/{id}/revoke',
    access: 'service',
    tag: 'Users',
    summary: "Voids a user's tokens that were issued before now, and closes the connections with them 4003",
    description:
      'In force on all nodes within 1 s, and after a restart. A token without `iat`, or of the same second, is void too. 503 `revocation-unavailable`: in force on this node only, as yet.',
    params: UserPath,
    answer: RevokeAnswer,
    errors: ['invalid-user-id', 'revocation-unavailable'],
    handle: revoke,
  });
}

async function connections(call: Call): Promise<Outcome> {
  const userId = userIdOf(call, 'id', call.context.req.param('id'));
  if (!userId.ok) return userId;
  const { connections: placed, partial } = await call.deps.dashboard.user(userId.value);
  return ok(call.context.json({ userId: userId.value, connections: placed.map(connectionOut), partial }));
}

/** A connection in an answer. Epochs are decimal strings. */
export function connectionOut({ ip, epoch, ...info }: PlacedConnection): z.input<typeof ConnectionOut> {
  const { connectionId, node, since, protocol, state, queue, queueBytes } = info;
  return { connectionId, node, since, epoch: String(epoch), address: ip, protocol, state, queue, queueBytes };
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
    ...(reason === undefined || reason === '' ? {} : { note: reason }),
  });
  audit(call, 'disconnect', {
    userId: userId.value,
    reason,
    blockMs,
    outcome: result.ok ? 'ended' : result.error,
  });
  if (!result.ok) {
    // Without an epoch, the conflict means that the user came back before the kick was done.
    if (result.error === 'superseded') return refused('presence-unavailable');
    // The block is set or lifted even if the user is offline.
    if (result.error !== 'not-online' || blockMs === undefined) return refused(result.error);
  }
  return ok(
    call.context.json({
      userId: userId.value,
      logoutTime: result.ok ? result.value.logoutTime : undefined,
      blockedUntil: blockedUntil(call, blockMs),
    }),
  );
}

async function revoke(call: Call): Promise<Outcome> {
  const userId = userIdOf(call, 'id', call.context.req.param('id'));
  if (!userId.ok) return userId;
  const { presence, revocations } = call.deps;
  // Reads before the revocation, because that closes connections.
  const seen = presence.read([userId.value]).catch(() => undefined);
  const { at, isKept } = await revocations.revoke(userId.value);
  audit(call, 'revoke', {
    userId: userId.value,
    revokedAt: at,
    outcome: isKept ? 'revoked' : 'revocation-unavailable',
  });
  if (!isKept) return refused('revocation-unavailable');
  const users = await seen;
  const closing = users === undefined ? null : (users[0]?.connections ?? 0);
  return ok(call.context.json({ userId: userId.value, revokedAt: at, connections: closing }));
}
