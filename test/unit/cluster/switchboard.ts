import type { Bus } from '../../../src/cluster/bus.ts';
import { nodeTopic } from '../../../src/cluster/inbox.ts';
import type { Parcel, Post, Routed, Whereabouts } from '../../../src/cluster/post.ts';

/** The nodes on which each user has a socket. Absent: the user is offline. */
export type Places = ReadonlyMap<number, Whereabouts>;

/** Pub/sub and frames between nodes in one process: at most once, to the nodes that listen, as in Redis. */
export class Switchboard implements Bus {
  readonly #handlers = new Map<string, (text: string) => void>();
  readonly #numbers = new Map<string, number>();
  /** `publish` rejects, as while Redis is unreachable. */
  cut = false;
  /** Published texts reach no node, and no node notices. */
  lossy = false;
  places: Places = new Map();
  /** Users that each node holds. */
  held = 0;
  readonly published: { readonly topic: string; readonly text: string }[] = [];

  publish(topic: string, text: string): Promise<void> {
    return this.#publish(topic, text).then(() => undefined);
  }

  subscribe(topic: string, handler: (text: string) => void): Promise<void> {
    this.#handlers.set(topic, handler);
    return Promise.resolve();
  }

  /** The frames of one node. */
  postOf(from: string): Post {
    const tell = async (node: string, fields: string): Promise<boolean> => {
      const number = (this.#numbers.get(`${from} ${node}`) ?? 0) + 1;
      this.#numbers.set(`${from} ${node}`, number);
      return this.#publish(nodeTopic(node), `{"n":${number},"from":${JSON.stringify(from)},${fields}}`);
    };
    return {
      tell,
      route: (parcels) => Promise.all(parcels.map((parcel) => this.#route(from, parcel, tell))),
    };
  }

  async #publish(topic: string, text: string): Promise<boolean> {
    if (this.cut) throw new Error('the way is cut');
    this.published.push({ topic, text });
    const handler = this.#handlers.get(topic);
    if (!this.lossy) handler?.(text);
    return handler !== undefined;
  }

  async #route(from: string, { id, users, fields }: Parcel, tell: Post['tell']): Promise<Routed> {
    if (this.cut) throw new Error('the way is cut');
    // `all` and `groups` go to every other node.
    const named = typeof users === 'string' ? undefined : users;
    const whereabouts = named?.map((user) => this.places.get(user) ?? 'offline') ?? [];
    const everybody = [...this.#handlers.keys()].map((topic) => topic.replace(/^node:/, ''));
    const wanted =
      named === undefined ? everybody : whereabouts.flatMap((at) => (Array.isArray(at) ? at : []));
    const nodes = [...new Set<string>(wanted)].filter((node) => node !== from);
    const routed = nodes.map(async (node) => {
      const there = named?.filter((_, index) => (whereabouts[index] ?? '').includes(node)) ?? [];
      const addressees =
        named === undefined ? '"all":true,' : `"users":[${there.map((u) => `[${u},0]`).join(',')}],`;
      const to = users === 'groups' ? '' : addressees;
      const heard = await tell(node, `"id":"${id}",${to}${fields}`);
      return { node, heard, users: named === undefined ? this.held : there.length };
    });
    return { nodes: await Promise.all(routed), whereabouts };
  }
}
