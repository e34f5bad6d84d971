import { z } from '@hono/zod-openapi';
import { ok } from '../../lib/result.ts';
import { seesAll } from '../access.ts';
import { addRoute, type Call, type RouteTable } from '../route.ts';

const NodeStats = z.object({
  node: z.string(),
  connections: z.int().openapi({ description: 'Open WebSocket connections of this node.' }),
  queues: z.object({
    dispatch: z.int().openapi({ description: 'Messages accepted and not yet handed to connections.' }),
    send: z.int().openapi({ description: 'Messages behind slow sockets.' }),
  }),
  drops: z.record(z.string(), z.int()).openapi({ description: 'Dropped messages by reason, since start.' }),
  messages: z.record(z.string(), z.int()).openapi({ description: 'Messages by status, since start.' }),
  heartbeats: z.int(),
  logins: z.int(),
  logouts: z.record(z.string(), z.int()),
  pendingSettlements: z.int(),
  oldestSettlementMs: z.int(),
  draining: z.boolean(),
});

const Stats = NodeStats.partial()
  .extend({
    onlineCount: z
      .int()
      .openapi({ description: 'Users online in the whole deployment, lingering included.' }),
    timestamp: z.int().openapi({ description: 'Seconds since 1970.' }),
  })
  .openapi('Stats');

export function addStatsRoute(table: RouteTable): void {
  addRoute(table, {
    method: 'get',
    path: '/ws/stats',
    access: 'anyone',
    tag: 'Statistics',
    summary: 'How many users are online; with the service key also what this node does',
    answer: Stats,
    handle: (call) => ok(call.context.json(stats(call))),
  });
}

function stats(call: Call): z.input<typeof Stats> {
  const { presence, clock } = call.deps;
  const everybody = { onlineCount: presence.onlineCount(), timestamp: Math.floor(clock.now() / 1000) };
  return seesAll(call.caller) ? { ...everybody, ...nodeStats(call) } : everybody;
}

function nodeStats(call: Call): z.input<typeof NodeStats> {
  const { counters, gauges, node } = call.deps;
  return {
    node,
    connections: gauges.connections(),
    queues: { dispatch: gauges.dispatchQueueDepth(), send: gauges.queuedMessages() },
    drops: { ...counters.dropped },
    messages: { ...counters.messages },
    heartbeats: counters.heartbeats,
    logins: counters.logins,
    logouts: { ...counters.logouts },
    pendingSettlements: gauges.settlementsPending(),
    oldestSettlementMs: Math.round(gauges.settlementOldestAgeMs()),
    draining: call.deps.isDraining(),
  };
}
