import { z } from '@hono/zod-openapi';
import { ok } from '../../lib/result.ts';
import { type Outcome, refused } from '../outcome.ts';
import { addRoute, type Call, type RouteTable } from '../route.ts';
import { TimeMs } from '../schemas.ts';

const TicketAnswer = z.object({
  ticket: z.string().openapi({ description: 'For `?ticket=` of `/ws`, once.' }),
  expiresAt: TimeMs,
});

/** Lets a user exchange a token for a ticket, which may be part of an address. */
export function addTicketsRoutes(table: RouteTable): void {
  addRoute(table, {
    method: 'post',
    path: '/api/tickets',
    access: 'user',
    tag: 'Users',
    summary: 'A ticket that opens one WebSocket within 30 s, on any node',
    description:
      "It stands for the token that it was issued for, until that token's `exp`. The service key gets 403.",
    answer: TicketAnswer,
    errors: ['forbidden', 'presence-unavailable'],
    handle: issue,
  });
}

async function issue({ caller, context, deps }: Call): Promise<Outcome> {
  if (caller.kind !== 'user') return refused('forbidden');
  const issued = await deps.tickets.issue(caller.identity);
  if (issued.ok) return ok(context.json(issued.value));
  if (issued.error === 'presence-unavailable') return refused(issued.error);
  const headers = { 'retry-after': String(issued.error.retryAfterS) };
  return { ok: false, error: { code: 'rate-limited', headers } };
}
