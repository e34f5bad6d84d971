import { z } from '@hono/zod-openapi';
import { ok, type Result } from '../../lib/result.ts';
import { FEED_START } from '../../presence/api.ts';
import { checkQuery, headerRefused, queryRefused } from '../body.ts';
import { type Outcome, type Refusal, refused } from '../outcome.ts';
import { addRoute, askPresence, type Call, type RouteTable, userIdOf } from '../route.ts';
import { countIn, TimeMs, UserIdOut, UserIdParam } from '../schemas.ts';
import { type EventStreams, eventOf } from './event-streams.ts';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;

const Limit = countIn(1, MAX_LIMIT, `1 to ${MAX_LIMIT}, default ${DEFAULT_LIMIT}.`);
const Cursor = z.string().max(128).optional().openapi({ description: 'As an earlier answer gave it.' });
const PageQuery = z.object({ cursor: Cursor, limit: Limit });
/** The name of a log followed by a number, or the id of a stream entry. Each number fits into 64 bits. */
const FEED_CURSOR = /^(?:\d{1,19}|[\w.-]{1,63}:[a-z\d]{1,32})-\d{1,19}$/;

const EventsAnswer = z.object({
  events: z.array(
    z.object({
      cursor: z.string(),
      userId: UserIdOut,
      type: z.enum(['online', 'offline']),
      at: TimeMs,
      period: z.string().openapi({ description: 'Decimal string.' }),
      epoch: z.string().openapi({ description: 'Decimal string.' }),
      reason: z.string().optional(),
      node: z.string(),
    }),
  ),
  cursor: z.string(),
});

const TimelineAnswer = z.object({
  entries: z.array(
    z.object({
      at: TimeMs,
      event: z.string(),
      cause: z.string(),
      reason: z.string().optional().openapi({ description: 'What the service said of a kick.' }),
      node: z.string(),
      epoch: z.string(),
    }),
  ),
  cursor: z.string().optional(),
});

/** The feed of all users, and the timeline of one user (rule PR12). */
export function addChangesRoutes(table: RouteTable, streams: EventStreams): void {
  addRoute(table, {
    method: 'get',
    path: '/api/online/events',
    access: 'service',
    tag: 'Presence',
    summary: 'Feed of users going online and offline, resumable, at least once, in order for one user',
    description:
      'Without a cursor from the oldest entry kept. `Accept: text/event-stream` streams; `Last-Event-ID` is the cursor then. 410 `cursor-expired`: read /api/online/players and start anew.',
    query: PageQuery,
    answer: EventsAnswer,
    errors: ['invalid-body', 'cursor-expired', 'presence-unavailable', 'overloaded'],
    handle: (call) => events(call, streams),
  });
  addRoute(table, {
    method: 'get',
    path: '/api/users/{id}/timeline',
    access: 'service',
    tag: 'Users',
    summary: 'Changes of one user, newest first: why was this user logged out',
    params: z.object({ id: UserIdParam }),
    query: PageQuery,
    answer: TimelineAnswer,
    errors: ['invalid-user-id', 'invalid-body', 'presence-unavailable'],
    handle: timeline,
  });
}

async function events(call: Call, streams: EventStreams): Promise<Outcome> {
  const page = pageOf(call);
  if (!page.ok) return page;
  const { limit } = page.value;
  const isStream = call.context.req.header('accept')?.includes('text/event-stream') === true;
  const resumed = isStream ? call.context.req.header('last-event-id') : undefined;
  const cursor = resumed ?? page.value.cursor ?? FEED_START;
  if (!FEED_CURSOR.test(cursor))
    return resumed === undefined ? queryRefused('cursor') : headerRefused('Last-Event-ID');
  const read = await askPresence(call, call.deps.presence.feed({ cursor, limit }));
  if (!read.ok) return read;
  if (read.value === undefined) return refused('cursor-expired');
  if (isStream) return streams.open(cursor);
  const last = read.value.at(-1)?.cursor ?? cursor;
  return ok(call.context.json({ events: read.value.map(eventOf), cursor: last }));
}

async function timeline(call: Call): Promise<Outcome> {
  const userId = userIdOf(call, 'id', call.context.req.param('id'));
  if (!userId.ok) return userId;
  const page = pageOf(call);
  if (!page.ok) return page;
  const { cursor, limit } = page.value;
  const read = await askPresence(call, call.deps.presence.timeline(userId.value, { cursor, limit }));
  if (!read.ok) return read;
  const changes = read.value;
  if (changes === undefined) return queryRefused('cursor');
  const entries = changes.map(({ at, event, cause, note, node, epoch }) => ({
    at,
    event,
    cause,
    reason: note,
    node,
    epoch: String(epoch),
  }));
  return ok(
    call.context.json({
      entries,
      cursor: changes.length === limit ? changes.at(-1)?.cursor : undefined,
    }),
  );
}

function pageOf(
  call: Call,
): Result<{ readonly cursor: string | undefined; readonly limit: number }, Refusal> {
  const query = checkQuery(PageQuery, call.context.req.query());
  if (!query.ok) return query;
  const { cursor, limit } = query.value;
  return ok({
    cursor: cursor === '' ? undefined : cursor,
    limit: Number(limit ?? DEFAULT_LIMIT),
  });
}
