import { z } from '@hono/zod-openapi';
import { ok } from '../../lib/result.ts';
import { errorBody } from '../../protocol/error-codes.ts';
import { addRoute, type Call, type RouteTable } from '../route.ts';

const Health = z.object({ status: z.literal('ok') }).openapi('Health');

const health = { access: 'anyone', tag: 'Operation', method: 'get', unlimited: true } as const;

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
    description: '503 while draining, and while presence or the database is unavailable, with the reason.',
    answer: Health,
    errors: ['draining', 'presence-unavailable', 'settlement-unavailable'],
    handle: (call) => ok(readiness(call)),
  });
}

function readiness(call: Call): Response {
  const reason = unreadyReason(call);
  if (reason === undefined) return call.context.json({ status: 'ok' });
  const body = { status: 'unavailable', ...errorBody(reason, call.language) };
  return call.context.json(body, 503, { 'retry-after': '1' });
}

function unreadyReason(
  call: Call,
): 'draining' | 'presence-unavailable' | 'settlement-unavailable' | undefined {
  if (call.deps.isDraining()) return 'draining';
  if (!call.deps.presence.available) return 'presence-unavailable';
  return call.deps.settlementAvailable() ? undefined : 'settlement-unavailable';
}
