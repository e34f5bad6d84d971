import { z } from '@hono/zod-openapi';
import { ok } from '../../lib/result.ts';
import { type Outcome, refused } from '../outcome.ts';
import { addRoute, audit, bodyOf, type Call, type RouteTable } from '../route.ts';

const DrainBody = z.object({ node: z.string().max(256).optional() }).openapi('Drain');
const DrainAnswer = z.object({ node: z.string(), draining: z.boolean() });

const drain = {
  path: '/api/drain',
  access: 'service',
  tag: 'Operation',
  body: DrainBody,
  bodyOptional: true,
  answer: DrainAnswer,
  errors: ['not-found'],
} as const;

/** Takes this node out of service without ending it, and back (rule DR1). */
export function addDrainRoutes(table: RouteTable): void {
  addRoute(table, {
    ...drain,
    method: 'post',
    summary: 'Drain this node: not ready, no new connections, `goodbye` and 1012 to each',
    description: 'A `node` that is not this one is 404: ask it at its own address.',
    handle: (call) => setDraining(call, true),
  });
  addRoute(table, {
    ...drain,
    method: 'delete',
    summary: 'End the draining of this node',
    handle: (call) => setDraining(call, false),
  });
}

async function setDraining(call: Call, draining: boolean): Promise<Outcome> {
  const body = await bodyOf(call, DrainBody, { optional: true });
  if (!body.ok) return body;
  const { deps } = call;
  const { node } = deps;
  const asked = body.value.node;
  // The name of a node is its host's; the incarnation adds what tells its starts apart.
  if (asked !== undefined && asked !== node && asked !== node.slice(0, node.lastIndexOf(':'))) {
    return refused('not-found', `(this node is ${node})`);
  }
  if (deps.isDraining() !== draining) deps.drain(draining);
  audit(call, draining ? 'drain' : 'end-drain', { node });
  return ok(call.context.json({ node, draining }));
}
