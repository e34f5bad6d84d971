import { z } from '@hono/zod-openapi';
import { ok } from '../../lib/result.ts';
import type { UsersGap } from '../../overview/api.ts';
import type { Language } from '../../protocol/error-codes.ts';
import { checkQuery } from '../body.ts';
import { type Outcome, refused } from '../outcome.ts';
import { addRoute, askPresence, type Call, type RouteTable, userIdOf } from '../route.ts';
import { UserIdParam } from '../schemas.ts';
import {
  ConfigAnswer,
  DEFAULT_WINDOW,
  UserAnswer,
  UsersAnswer,
  UsersQuerySchema,
} from './dashboard.schemas.ts';
import { DashboardStreams } from './dashboard-stream.ts';
import { playerOf } from './players.ts';
import { connectionOut } from './users.ts';

const shown = { method: 'get', access: 'service', tag: 'Dashboard' } as const;

/** The data of the operator's dashboard. All routes only read, so a view key suffices. */
export function addDashboardRoutes(table: RouteTable): void {
  const streams = new DashboardStreams(table.deps);
  addRoute(table, {
    ...shown,
    path: '/api/dashboard/live',
    summary: 'Counts of the whole deployment every 500 ms, as server-sent events',
    description:
      'Event `counts`. Totals only grow; a node that does not answer within 300 ms stays in them with what it said last. At most 50 streams a node.',
    errors: ['overloaded'],
    handle: () => streams.open(),
  });
  addRoute(table, {
    ...shown,
    path: '/api/dashboard/users',
    summary: 'A window of the users who are online, searched and sorted',
    query: UsersQuerySchema,
    answer: UsersAnswer,
    errors: ['invalid-body', 'overloaded'],
    handle: users,
  });
  addRoute(table, {
    ...shown,
    path: '/api/dashboard/users/{id}',
    summary: 'One user: presence, connections on all nodes, groups, block',
    params: z.object({ id: UserIdParam }),
    answer: UserAnswer,
    errors: ['invalid-user-id', 'presence-unavailable', 'settlement-unavailable'],
    handle: user,
  });
  addRoute(table, {
    ...shown,
    path: '/api/dashboard/config',
    summary: 'The configuration in force of the node that is asked, with secrets masked',
    answer: ConfigAnswer,
    handle: (call) =>
      ok(
        call.context.json({
          access: call.caller.kind === 'viewer' ? 'view' : 'service',
          keys: call.deps.shownConfig(),
        }),
      ),
  });
}

async function users(call: Call): Promise<Outcome> {
  const query = checkQuery(UsersQuerySchema, call.context.req.query());
  if (!query.ok) return query;
  const { search = '', sort = 'since', order = 'desc', offset = '0', limit } = query.value;
  const found = await call.deps.dashboard.users({
    search,
    sort,
    order,
    offset: Number(offset),
    limit: Number(limit ?? DEFAULT_WINDOW),
  });
  if (found === undefined) return refused('overloaded');
  const { gap, ...page } = found;
  return ok(
    call.context.json({ ...page, partial: gap === undefined ? undefined : sentenceOf(gap, call.language) }),
  );
}

async function user(call: Call): Promise<Outcome> {
  const userId = userIdOf(call, 'id', call.context.req.param('id'));
  if (!userId.ok) return userId;
  const details = call.deps.dashboard.user(userId.value);
  const { presence } = call.deps;
  const asked = await askPresence(
    call,
    Promise.all([presence.find(userId.value), presence.blockedUntil(userId.value)]),
  );
  if (!asked.ok) return asked;
  const [found, blockedUntil] = asked.value;
  const player = found.ok ? playerOf(call, userId.value, found.value) : null;
  const { connections, groups, state, partial } = await details;
  return ok(
    call.context.json({
      player: player ?? null,
      connections: connections.map(connectionOut),
      groups,
      state,
      blockedUntil,
      partial,
    }),
  );
}

const GAPS: Readonly<Record<Language, { readonly [Part in keyof UsersGap]: (what: string) => string }>> = {
  en: {
    presenceUnavailable: () =>
      'The presence store is unreachable: users of other nodes are shown as they were.',
    silent: (nodes) => `No answer from ${nodes}: the users there are shown as they were, or not at all.`,
    filling: (nodes) => `The users of ${nodes} are still being read.`,
    orphans: (count) =>
      `Not shown: ${count} users of nodes that have died. They come back, or are logged out within seconds.`,
    tooMany: () =>
      'Other nodes have more users than this table holds: narrow the question to one node by asking it.',
  },
  zh: {
    presenceUnavailable: () => '在线状态存储暂时不可用：其他节点的用户显示的是之前的状态。',
    silent: (nodes) => `${nodes} 没有应答：其用户显示的是之前的状态，或未显示。`,
    filling: (nodes) => `正在读取 ${nodes} 的用户。`,
    orphans: (count) => `未显示已失效节点的 ${count} 个用户：他们会在几秒内重连或被登出。`,
    tooMany: () => '其他节点的用户数超过了此列表的容量：请直接查询该节点。',
  },
};

function sentenceOf(gap: UsersGap, language: Language): string {
  const say = GAPS[language];
  const isZh = language === 'zh';
  const list = (nodes: readonly string[]): string => nodes.join(isZh ? '、' : ', ');
  const parts: string[] = [];
  if (gap.presenceUnavailable) parts.push(say.presenceUnavailable(''));
  if (gap.silent.length > 0) parts.push(say.silent(list(gap.silent)));
  if (gap.filling.length > 0) parts.push(say.filling(list(gap.filling)));
  if (gap.orphans > 0) parts.push(say.orphans(String(gap.orphans)));
  if (gap.tooMany) parts.push(say.tooMany(''));
  return parts.join(isZh ? '' : ' ');
}
