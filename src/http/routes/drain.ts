import { z } from '@hono/zod-openapi';
import { ok } from '../../lib/result.ts';
import type { Bilingual } from '../../protocol/error-codes.ts';
import { type Outcome, refused, refusedExactly } from '../outcome.ts';
import { addRoute, askPresence, audit, bodyOf, type Call, type RouteTable } from '../route.ts';

const DrainBody = z
  .strictObject({
    node: z.string().min(1).max(256).optional().openapi({
      description: 'Name, incarnation, or both as `<name>:<incarnation>`; absent: the node that is asked.',
    }),
  })
  .openapi('Drain');
const DrainAnswer = z.object({ node: z.string(), draining: z.boolean() });

const drain = {
  path: '/api/drain',
  access: 'service',
  tag: 'Operation',
  body: DrainBody,
  bodyOptional: true,
  answer: DrainAnswer,
  description:
    'Any node can be asked for any other. The answer comes once the node has said that it drains, or no longer does; 504 `node-silent`: it said nothing within 1 s.',
  errors: ['not-found', 'node-ambiguous', 'node-silent', 'presence-unavailable'],
} as const;

/** Drains a node without ending its process, and cancels a drain (rule DR1). */
export function addDrainRoutes(table: RouteTable): void {
  addRoute(table, {
    ...drain,
    method: 'post',
    summary: 'Drain a node: not ready, no new connections, `goodbye` and 1012 to each',
    handle: (call) => setDraining(call, true),
  });
  addRoute(table, {
    ...drain,
    method: 'delete',
    summary: 'End the draining of a node',
    handle: (call) => setDraining(call, false),
  });
}

async function setDraining(call: Call, draining: boolean): Promise<Outcome> {
  const body = await bodyOf(call, DrainBody, { optional: true });
  if (!body.ok) return body;
  const asked = body.value.node;
  const outcome = await askPresence(call, call.deps.nodes.drain(asked, draining));
  if (!outcome.ok) return outcome;
  const done = outcome.value;
  audit(call, draining ? 'drain' : 'end-drain', {
    node: done.ok ? done.value.node : asked,
    ...(done.ok ? {} : { code: done.error }),
  });
  if (done.ok) return ok(call.context.json(done.value));
  return done.error === 'not-found'
    ? refusedExactly('not-found', { sentence: 'no-such-node', detail: thisNode(call.deps.node) })
    : refused(done.error);
}

function thisNode(node: string): Bilingual {
  return { en: `(this node is ${node})`, zh: `（当前节点是 ${node}）` };
}
