import { z } from '@hono/zod-openapi';
import { ok } from '../../lib/result.ts';
import { isLocal } from '../local-caller.ts';
import { type Outcome, refused } from '../outcome.ts';
import { addRoute, askPresence, type Call, type RouteTable, userIdOf } from '../route.ts';
import { TimeMs, UserIdParam } from '../schemas.ts';

const ENTRIES = 12;
/** Time for the answer to leave before the process ends. */
const KILL_AFTER_MS = 100;

const TimelineAnswer = z.object({
  entries: z.array(z.object({ at: TimeMs, event: z.string(), cause: z.string(), node: z.string() })),
  settlementsPending: z.int().openapi({ description: 'Logouts of anybody that are not in SQL yet.' }),
});

/** The requests of the demo page: in development only, and from this machine only. */
export function addDemoRoutes(table: RouteTable): void {
  const { config, kill } = table.deps;
  if (config.environment !== 'development') return;
  addRoute(table, {
    method: 'get',
    path: '/dev/timeline/{id}',
    access: 'user',
    tag: 'Development',
    summary: "A user's own timeline, for the demo page: the newest entries",
    params: z.object({ id: UserIdParam }),
    answer: TimelineAnswer,
    errors: ['invalid-user-id', 'not-found', 'presence-unavailable'],
    handle: timeline,
  });
  if (kill === undefined) return;
  addRoute(table, {
    method: 'post',
    path: '/dev/kill',
    access: 'anyone',
    tag: 'Development',
    summary: 'Ends this process at once, as `kill -9` does, for the demo page',
    description:
      'No goodbye, no settlement, no drain: what a node that crashes leaves to the others and to its next start.',
    answer: z.object({ killed: z.literal(true), node: z.string() }),
    errors: ['not-found'],
    handle: (call) => die(call, kill),
  });
}

async function timeline(call: Call): Promise<Outcome> {
  if (!isLocal(call)) return refused('not-found');
  const userId = userIdOf(call, 'id', call.context.req.param('id'));
  if (!userId.ok) return userId;
  const { presence, gauges } = call.deps;
  const read = await askPresence(
    call,
    presence.timeline(userId.value, { cursor: undefined, limit: ENTRIES }),
  );
  if (!read.ok) return read;
  const entries = (read.value ?? []).map(({ at, event, cause, node }) => ({ at, event, cause, node }));
  return ok(call.context.json({ entries, settlementsPending: gauges.settlementsPending() }));
}

function die(call: Call, kill: () => void): Outcome {
  if (!isLocal(call) || !isOwnPage(call)) return refused('not-found');
  const { clock, log, node } = call.deps;
  log.warn({ event: 'audit', action: 'kill', ip: call.address }, 'the demo page kills this process');
  clock.after(KILL_AFTER_MS, kill);
  return ok(call.context.json({ killed: true, node }));
}

/** A page of another port may get a token, but it must not kill this server. */
function isOwnPage(call: Call): boolean {
  const { req } = call.context;
  // A browser sends the site of a page, even if it omits the origin.
  if (!['same-origin', 'none', undefined].includes(req.header('sec-fetch-site'))) return false;
  const origin = req.header('origin');
  return origin === undefined || origin === `http://${req.header('host')}`;
}
