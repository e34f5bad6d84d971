import type { Parcel, Post, Routed, RoutedNode, Whereabouts } from '../../../cluster/post.ts';
import { assert } from '../../../lib/assert.ts';
import type { ScriptName } from './scripts.ts';
import { decoder, ROUTED, ROUTED_NODE } from './wire.ts';

const decodeRouted = decoder(ROUTED);
const ROUTED_WIDTH = Object.keys(ROUTED).length;
const decodeRoutedNode = decoder(ROUTED_NODE);
const ROUTED_NODE_WIDTH = Object.keys(ROUTED_NODE).length;

type Run = (name: ScriptName, args: readonly (string | number)[]) => Promise<unknown>;

/** Sends frames between the nodes that share a Redis. A script numbers each frame and sends it. */
export class RedisPost implements Post {
  readonly #run: Run;

  constructor(run: Run) {
    this.#run = run;
  }

  async tell(node: string, fields: string): Promise<boolean> {
    return (await this.#run('tell', [node, fields])) === 1;
  }

  async route(parcels: readonly Parcel[]): Promise<readonly Routed[]> {
    const args = parcels.flatMap(({ id, users, fields }) => [
      id,
      users === 'all' ? '*' : users === 'groups' ? '#' : users.join(','),
      fields,
    ]);
    const replies = (await this.#run('route', args)) as (readonly (string | number)[])[];
    assert(replies.length === parcels.length, 'route.lua answers each parcel');
    return replies.map(parseRouted);
  }
}

function parseRouted(reply: readonly (string | number)[]): Routed {
  const { nodeCount } = decodeRouted(reply);
  const end = ROUTED_WIDTH + nodeCount * ROUTED_NODE_WIDTH;
  const nodes: RoutedNode[] = [];
  for (let at = ROUTED_WIDTH; at < end; at += ROUTED_NODE_WIDTH) {
    const { node, isListening, users } = decodeRoutedNode(reply.slice(at, at + ROUTED_NODE_WIDTH));
    nodes.push({ node, heard: isListening === 1, users });
  }
  const whereabouts = reply.slice(end).map((text) => parseWhereabouts(String(text), nodes));
  return { nodes, whereabouts };
}

function parseWhereabouts(text: string, nodes: readonly RoutedNode[]): Whereabouts {
  if (text === '') return 'offline';
  if (text === '-') return 'no-connection';
  return text.split(',').map((place) => {
    const routed = nodes[Number(place) - 1];
    assert(routed !== undefined, 'route.lua names the nodes of its answer');
    return routed.node;
  });
}
