import { z } from '@hono/zod-openapi';
import { ok } from '../../lib/result.ts';
import type { Outcome } from '../outcome.ts';
import { addRoute, askPresence, type Call, type RouteTable } from '../route.ts';

const Nodes = z
  .object({
    nodes: z.array(
      z.object({
        node: z.string().openapi({ description: '`<name>:<incarnation>`', example: 'game-1:mwui2n13d6f087' }),
        name: z.string().openapi({ description: 'LINGXI_NODE_NAME.' }),
        incarnation: z.string().openapi({ description: 'Fresh at each start.' }),
        state: z.enum(['live', 'silent', 'dead']).openapi({
          description:
            '`silent`: no sign of life for 3 s. `dead`: it lost its lease for good, and its users are being ended.',
        }),
        leaseAgeMs: z.int().nullable().openapi({
          description: 'Age of its last sign of life, which comes each half second; null for the dead.',
        }),
        users: z.int().openapi({
          description:
            'Users that the node holds, lingering users included. For a dead node: users that are not ended yet.',
        }),
        connections: z.int().nullable().openapi({
          description: 'Open WebSocket connections, at most 2 s old; null: it has not said so for 15 s.',
        }),
        draining: z.boolean(),
      }),
    ),
  })
  .openapi('Nodes');

export function addNodesRoute(table: RouteTable): void {
  addRoute(table, {
    method: 'get',
    path: '/api/nodes',
    access: 'service',
    tag: 'Operation',
    summary: 'The nodes of the deployment, dead ones included while their users are being ended',
    answer: Nodes,
    errors: ['presence-unavailable'],
    handle: listNodes,
  });
}

async function listNodes(call: Call): Promise<Outcome> {
  const nodes = await askPresence(call, call.deps.nodes.list());
  return nodes.ok ? ok(call.context.json({ nodes: nodes.value })) : nodes;
}
