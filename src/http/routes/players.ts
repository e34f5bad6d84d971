import { z } from '@hono/zod-openapi';
import { ok } from '../../lib/result.ts';
import type { UserPresence } from '../../presence/api.ts';
import { defaultUsername } from '../../protocol/user-name.ts';
import { checkQuery } from '../body.ts';
import { type Outcome, refused, refusedExactly } from '../outcome.ts';
import { addRoute, askPresence, bodyOf, type Call, type RouteTable, userIdOf } from '../route.ts';
import { UserIdParam } from '../schemas.ts';
import { PlayerAnswer, PlayersAnswer, PlayersQuery, StatusAnswer, StatusBody } from './online.schemas.ts';

const presenceRead = { tag: 'Presence', errors: ['presence-unavailable'] } as const;

/** The users online, and the status of one user or of many. */
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
      '404 `unknown-user` where nothing is known of the user; with LINGXI_LAST_SEEN_TTL_S=0 also for one who is offline. 503 `settlement-unavailable` where only the database could know the user, and it does not answer.',
    params: z.object({ playerId: UserIdParam }),
    answer: PlayerAnswer,
    errors: ['invalid-user-id', 'unknown-user', 'settlement-unavailable', ...presenceRead.errors],
    handle: player,
  });
  addRoute(table, {
    ...presenceRead,
    method: 'post',
    path: '/api/online/status',
    onlyReads: true,
    access: 'service',
    summary: 'Status of many users, in the order asked',
    body: StatusBody,
    answer: StatusAnswer,
    errors: ['invalid-user-id', ...presenceRead.errors],
    handle: status,
  });
}

async function players(call: Call): Promise<Outcome> {
  const query = checkQuery(PlayersQuery, call.context.req.query());
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
  // If presence has forgotten the user (`LINGXI_LAST_SEEN_TTL_S`), this comes from SQL.
  const asked = await askPresence(call, call.deps.presence.find(userId.value));
  if (!asked.ok) return asked;
  const found = asked.value;
  const tellsOffline = call.deps.config.lastSeenTtlS > 0;
  if (!found.ok && tellsOffline) return refused(found.error);
  const user = found.ok ? found.value : undefined;
  // If the time to live is 0, the answer has nothing about offline users, not even their data in SQL.
  const shown = playerOf(call, userId.value, user);
  return shown === undefined
    ? refusedExactly('unknown-user', { sentence: 'never-online' })
    : ok(call.context.json(shown));
}

/** A user as a player. Undefined if nothing is known of the user, or the caller may not see the user. */
export function playerOf(
  { deps: { config } }: Pick<Call, 'deps'>,
  userId: number,
  user: UserPresence | undefined,
): z.input<typeof PlayerAnswer> | undefined {
  if (user === undefined || (user.status === 'offline' && config.lastSeenTtlS === 0)) return undefined;
  return {
    playerId: String(userId),
    username: user.username ?? defaultUsername(userId, config.language),
    status: user.status,
    loginTime: user.loginTime,
    lastHeartbeat: user.lastHeartbeat,
    logoutTime: user.logoutTime,
    ip: user.ip,
    connections: user.connections,
  };
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
