import { z } from '@hono/zod-openapi';
import { ok } from '../../lib/result.ts';
import { errorBody } from '../../protocol/error-codes.ts';
import { addRoute, type Call, type RouteTable } from '../route.ts';
import { Sentence } from '../schemas.ts';

const Health = z.object({ status: z.literal('ok') }).openapi('Health');
const Readiness = z
  .object({
    status: z.enum(['ok', 'degraded']).openapi({
      description:
        '`degraded`: the database is unavailable, and who is online may still connect here again; or the keys of tokens could not be fetched yet.',
    }),
    error: Sentence.optional(),
    code: z.enum(['settlement-unavailable', 'credentials-unavailable']).optional(),
  })
  .openapi('Readiness');

const health = { access: 'anyone', tag: 'Operation', method: 'get', ignoresCredential: true } as const;

export function addHealthRoutes(table: RouteTable): void {
  for (const path of ['/healthz', '/health']) {
    addRoute(table, {
      ...health,
      path,
      summary: 'Whether the process lives',
      answer: Health,
      handle: (call) => ok(call.context.json({ status: 'ok' })),
    });
  }
  addRoute(table, {
    ...health,
    path: '/readyz',
    summary: 'Whether new connections may be sent here',
    description:
      '503 while draining and while presence is unavailable, with the reason. 200 `degraded` while only the database, or only the key server, is.',
    answer: Readiness,
    errors: ['draining', 'presence-unavailable'],
    handle: (call) => ok(readiness(call)),
  });
}

function readiness(call: Call): Response {
  const { context, deps, language } = call;
  const reason = unreadyReason(call);
  if (reason !== undefined)
    return context.json({ status: 'unavailable', ...errorBody(reason, language) }, 503, {
      'retry-after': '1',
    });
  // All nodes share the database and the key server. If none were ready, a load balancer would refuse users who are online.
  const lack = deps.settlementAvailable()
    ? deps.credentialsAvailable()
      ? undefined
      : 'credentials-unavailable'
    : 'settlement-unavailable';
  return context.json(
    lack === undefined ? { status: 'ok' } : { status: 'degraded', ...errorBody(lack, language) },
  );
}

function unreadyReason(call: Call): 'draining' | 'presence-unavailable' | undefined {
  if (call.deps.isDraining()) return 'draining';
  return call.deps.presence.available ? undefined : 'presence-unavailable';
}
