import type { Parcel, Post, Routed, RoutedNode, Whereabouts } from '../../../cluster/post.ts';
import { assert } from '../../../lib/assert.ts';
import type { ScriptName } from './scripts.ts';

type Run = (name: ScriptName, args: readonly (string | number)[]) => Promise<unknown>;

/** Frames between the nodes that share a Redis, each sent by a script that numbers it. */
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
  const count = Number(reply[0]);
  const nodes: RoutedNode[] = [];
  for (let at = 1; at <= count * 3; at += 3)
    nodes.push({ node: String(reply[at]), heard: reply[at + 1] === 1, users: Number(reply[at + 2]) });
  const whereabouts = reply.slice(1 + count * 3).map((text) => parseWhereabouts(String(text), nodes));
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
