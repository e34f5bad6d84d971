import { z } from '@hono/zod-openapi';
import { ok } from '../../lib/result.ts';
import { checkQuery } from '../body.ts';
import { isLocal } from '../local-caller.ts';
import { type Outcome, refused } from '../outcome.ts';
import { addRoute, type Call, type RouteTable, userIdOf } from '../route.ts';
import { TimeMs, UserIdOut, UserIdParam } from '../schemas.ts';

const TOKEN_LIFE_S = 86_400;
const MAX_NAME_LENGTH = 64;
const NameQuery = z.object({
  name: z
    .string()
    .max(MAX_NAME_LENGTH)
    .regex(/^\P{Cc}*$/u)
    .optional(),
});

/** Gives a token to a developer on this machine. The route exists in development only. */
export function addDevTokenRoute(table: RouteTable): void {
  const { config } = table.deps;
  if (config.environment !== 'development' || config.jwtSecrets.length === 0) return;
  addRoute(table, {
    method: 'get',
    path: '/dev/token',
    access: 'anyone',
    tag: 'Development',
    summary: 'A user token, for a loopback client in development',
    query: NameQuery.extend({ userId: UserIdParam }),
    answer: z.object({ token: z.string(), userId: UserIdOut, expiresAt: TimeMs }),
    errors: ['invalid-user-id', 'invalid-body', 'not-found'],
    handle: devToken,
  });
}

function devToken(call: Call): Outcome {
  if (!isLocal(call)) return refused('not-found');
  const { req } = call.context;
  const userId = userIdOf(call, 'userId', req.query('userId'));
  if (!userId.ok) return userId;
  const query = checkQuery(NameQuery, req.query());
  if (!query.ok) return query;
  const { name } = query.value;
  const token = call.deps.credentials.signUser({
    userId: userId.value,
    expiresInS: TOKEN_LIFE_S,
    ...(name === undefined || name === '' ? {} : { name }),
  });
  const expiresAt = (Math.floor(call.deps.clock.now() / 1000) + TOKEN_LIFE_S) * 1000;
  const answer = call.context.json({ token, userId: userId.value, expiresAt });
  answer.headers.set('vary', 'Origin');
  const origin = req.header('origin');
  if (origin !== undefined) answer.headers.set('access-control-allow-origin', origin);
  return ok(answer);
}
