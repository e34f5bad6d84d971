import { z } from '@hono/zod-openapi';
import { ok, type Result } from '../../lib/result.ts';
import type { GroupResult } from '../../presence/api.ts';
import { GROUP_NAME_NOTE, GROUP_NAME_PATTERN, GROUP_NAME_RULE, isGroupName } from '../../protocol/groups.ts';
import { checkQuery, fieldDetail, parameterDetail } from '../body.ts';
import { type Outcome, type Refusal, refused } from '../outcome.ts';
import { addRoute, askPresence, audit, bodyOf, type Call, type RouteTable } from '../route.ts';
import { countIn, UserIdIn, UserIdOut } from '../schemas.ts';

/** Largest number of users that one call may add, and that it may remove. */
const MAX_USERS = 1000;
const DEFAULT_LIMIT = 1000;
const MAX_LIMIT = 10_000;

const GroupPath = z.object({
  group: z
    .string()
    .openapi({ pattern: GROUP_NAME_PATTERN, description: GROUP_NAME_RULE.en, example: 'guild:7' }),
});

const GroupBody = z
  .strictObject({
    add: z.array(UserIdIn).max(MAX_USERS).optional(),
    remove: z.array(UserIdIn).max(MAX_USERS).optional(),
  })
  .openapi('GroupChange');

const GroupAnswer = z.object({
  results: z.array(
    z.object({
      userId: UserIdOut,
      status: z.enum(['member', 'removed', 'offline', 'refused']),
      reason: z.enum(['too-many-groups']).optional(),
    }),
  ),
});

const PageQuery = z.object({
  limit: countIn(1, MAX_LIMIT, `Members on one page, at most ${MAX_LIMIT}; ${DEFAULT_LIMIT} where absent.`),
  cursor: z
    .string()
    .regex(/^\d{1,16}$/)
    .optional()
    .openapi({ description: 'From the page before.' }),
});

const PageAnswer = z.object({
  group: z.string(),
  online: z.int().openapi({ description: 'Members on all pages.' }),
  members: z.array(UserIdOut),
  cursor: z.string().optional().openapi({ description: 'Of the next page; absent on the last one.' }),
});

/** Lets the service change groups of users who are online, and read them. */
export function addGroupsRoutes(table: RouteTable): void {
  const common = {
    path: '/api/groups/{group}',
    access: 'service',
    tag: 'Groups',
    params: GroupPath,
  } as const;
  addRoute(table, {
    ...common,
    method: 'post',
    summary: 'Puts users into a group, and takes users out',
    description: [
      `At most ${MAX_USERS} to add and as many to remove, no user in both lists. A membership ends with the period.`,
      '`offline`: the user is not online, and nothing is remembered. `refused`: the user is in',
      'LINGXI_MAX_GROUPS_PER_USER groups. A user who is removed stays a `member` while a token of a connection names',
      'the group.',
    ].join(' '),
    body: GroupBody,
    answer: GroupAnswer,
    errors: ['invalid-request', 'invalid-user-id', 'presence-unavailable'],
    handle: change,
  });
  addRoute(table, {
    ...common,
    method: 'get',
    summary: 'Members of a group, by user id',
    query: PageQuery,
    answer: PageAnswer,
    errors: ['invalid-request', 'invalid-body', 'presence-unavailable'],
    handle: members,
  });
}

const ALSO_IN_ADD = { en: ' (also in add)', zh: '（同时在 add 中）' };

async function change(call: Call): Promise<Outcome> {
  const group = groupOf(call);
  if (!group.ok) return group;
  const body = await bodyOf(call, GroupBody);
  if (!body.ok) return body;
  // One result for each user, in the order of their first mention.
  const add = [...new Set(body.value.add)];
  const remove = [...new Set(body.value.remove)];
  const added = new Set(add);
  const twice = body.value.remove?.findIndex((userId) => added.has(userId)) ?? -1;
  if (twice >= 0) return refused('invalid-body', fieldDetail(`remove[${twice}]`, ALSO_IN_ADD));
  const changed = await call.deps.presence.changeGroup({ group: group.value, add, remove });
  const asked = { group: group.value, add: add.length, remove: remove.length };
  if (!changed.ok) {
    // A part of the change may be done.
    audit(call, 'group', { ...asked, outcome: changed.error });
    return refused(changed.error);
  }
  const results = changed.value;
  const count = (status: GroupResult['status']): number =>
    results.filter((result) => result.status === status).length;
  const counts = { member: count('member'), removed: count('removed'), offline: count('offline') };
  audit(call, 'group', { ...asked, ...counts, refused: count('full') });
  return ok(
    call.context.json({
      results: results.map(({ userId, status }) =>
        status === 'full' ? { userId, status: 'refused', reason: 'too-many-groups' } : { userId, status },
      ),
    }),
  );
}

async function members(call: Call): Promise<Outcome> {
  const group = groupOf(call);
  if (!group.ok) return group;
  const query = checkQuery(PageQuery, call.context.req.query());
  if (!query.ok) return query;
  const { limit, cursor } = query.value;
  const page = await askPresence(
    call,
    call.deps.presence.group({ group: group.value, limit: Number(limit ?? DEFAULT_LIMIT), cursor }),
  );
  if (!page.ok) return page;
  const { online, userIds, cursor: next } = page.value;
  return ok(call.context.json({ group: group.value, online, members: userIds, cursor: next }));
}

/** If the name in the path is no valid group name, the request is malformed. */
function groupOf(call: Call): Result<string, Refusal> {
  const name = call.context.req.param('group');
  if (isGroupName(name)) return ok(name);
  return refused('invalid-request', parameterDetail('group', GROUP_NAME_NOTE));
}
