import { z } from '@hono/zod-openapi';
import { ok, type Result } from '../../lib/result.ts';
import type { UserPresence } from '../../presence/presence.ts';
import { defaultUsername } from '../../protocol/user-name.ts';
import { checkShape } from '../body.ts';
import { type Outcome, type Refusal, refusedExactly } from '../outcome.ts';
import { addRoute, askPresence, bodyOf, type Call, type RouteTable, userIdOf } from '../route.ts';
import { UserIdParam } from '../schemas.ts';
import { PlayerAnswer, PlayersAnswer, PlayersQuery, StatusAnswer, StatusBody } from './online.schemas.ts';

const presenceRead = { tag: 'Presence', errors: ['presence-unavailable'] } as const;

/** Who is online, and what is known of one user or of many. */
export function addPlayersRoutes(table: RouteTable): void {
  addRoute(table, {
    ...presenceRead,
    method: 'get',
    path: '/api/online/players',
    access: 'open-service',
    summary: 'Users online: all of them, or a page',
    query: PlayersQuery,
    answer: PlayersAnswer,
    errors: ['invalid-body', ...presenceRead.errors],
    handle: players,
  });
  addRoute(table, {
    ...presenceRead,
    method: 'get',
    path: '/api/online/player/{playerId}',
    access: 'open-user',
    summary: 'What is known of one user',
    description:
      '404 `unknown-user` where nothing is known of the user; with LINGXI_LAST_SEEN_TTL_S=0 also for one who is offline.',
    params: z.object({ playerId: UserIdParam }),
    answer: PlayerAnswer,
    errors: ['invalid-user-id', 'unknown-user', ...presenceRead.errors],
    handle: player,
  });
  addRoute(table, {
    ...presenceRead,
    method: 'post',
    path: '/api/online/status',
    access: 'service',
    summary: 'Status of many users, in the order asked',
    body: StatusBody,
    answer: StatusAnswer,
    errors: ['invalid-user-id', ...presenceRead.errors],
    handle: status,
  });
}

async function players(call: Call): Promise<Outcome> {
  const query = checkShape(PlayersQuery, call.context.req.query(), call.language);
  if (!query.ok) return query;
  const { limit, cursor } = query.value;
  const page = await askPresence(
    call,
    call.deps.presence.online({
      ...(limit === undefined ? {} : { limit: Number(limit) }),
      ...(cursor === undefined ? {} : { cursor }),
    }),
  );
  if (!page.ok) return page;
  return ok(
    call.context.json({
      players: page.value.users.map((user) => ({
        playerId: String(user.userId),
        loginTime: user.loginTime,
        lastHeartbeat: user.lastHeartbeat,
        ip: user.ip,
      })),
      cursor: page.value.cursor,
    }),
  );
}

async function player(call: Call): Promise<Outcome> {
  const userId = userIdOf(call, 'playerId', call.context.req.param('playerId'));
  if (!userId.ok) return userId;
  const found = await lookUp(call, userId.value);
  if (!found.ok) return found;
  const user = found.value;
  return ok(
    call.context.json({
      playerId: String(userId.value),
      username: user.username ?? defaultUsername(userId.value, call.deps.config.language),
      status: user.status ?? 'offline',
      loginTime: user.loginTime,
      lastHeartbeat: user.lastHeartbeat,
      logoutTime: user.logoutTime,
      ip: user.ip ?? '',
      connections: user.connections ?? 0,
    }),
  );
}

const NEVER_ONLINE = refusedExactly('unknown-user', { sentence: 'never-online' });

/** Where presence forgot a user (`LINGXI_LAST_SEEN_TTL_S`), SQL may still know that there was one. */
async function lookUp(call: Call, userId: number): Promise<Result<Partial<UserPresence>, Refusal>> {
  const { presence } = call.deps;
  const read = await askPresence(call, presence.read([userId]));
  if (!read.ok) return read;
  const user = read.value[0];
  // Nothing is kept of who is offline: what SQL or the duty that waits still tells is not shown either.
  if (call.deps.config.lastSeenTtlS === 0 && user?.status !== 'online') return NEVER_ONLINE;
  if (user !== undefined) return ok(user);
  const logoutTime = await askPresence(call, presence.lastLogout(userId));
  if (!logoutTime.ok) return logoutTime;
  return logoutTime.value === undefined ? NEVER_ONLINE : ok({ logoutTime: logoutTime.value });
}

async function status(call: Call): Promise<Outcome> {
  const body = await bodyOf(call, StatusBody);
  if (!body.ok) return body;
  const { userIds } = body.value;
  const read = await askPresence(call, call.deps.presence.read(userIds));
  if (!read.ok) return read;
  return ok(
    call.context.json({
      results: userIds.map((userId, index) => {
        const user = read.value[index];
        return {
          userId,
          status: user?.status ?? 'offline',
          loginTime: user?.loginTime,
          lastHeartbeat: user?.lastHeartbeat,
          logoutTime: user?.logoutTime,
        };
      }),
    }),
  );
}
