import type { NodeDirectory, NodeSighting, NodeState } from '../../../cluster/node-directory.ts';
import { parseJson } from '../../../protocol/json-text.ts';
import type { ScriptName } from './scripts.ts';
import type { StoreConnection } from './store-connection.ts';

export interface RedisNodesOptions {
  readonly link: StoreConnection;
  readonly prefix: string;
  /** This incarnation. */
  readonly node: string;
  readonly run: (name: ScriptName, args: readonly (string | number)[]) => Promise<unknown>;
}

/** What a node says of itself is forgotten after this: several times the interval at which it says so. */
const ANNOUNCED_TTL_MS = 15_000;

type NodeReply = readonly [node: string, ageMs: number, sign: string, users: number, announced: string];

/** The nodes that share a Redis: what they announce of themselves, beside their signs of life and holds. */
export class RedisNodes implements NodeDirectory {
  readonly #options: RedisNodesOptions;

  constructor(options: RedisNodesOptions) {
    this.#options = options;
  }

  async announce(state: NodeState): Promise<void> {
    const { link, prefix, node } = this.#options;
    const key = `${prefix}lingxi:i:${node}`;
    await link.guarded(link.client.set(key, JSON.stringify(state), 'PX', ANNOUNCED_TTL_MS));
  }

  async list(): Promise<readonly NodeSighting[]> {
    const replies = (await this.#options.run('nodes', [])) as NodeReply[];
    return replies.map(([node, ageMs, sign, users, announced]) => ({
      node,
      silentMs: ageMs < 0 ? undefined : ageMs,
      sign: sign === '' ? undefined : sign,
      users,
      ...parseState(announced),
    }));
  }
}

/** A foreign value under our key is as good as none. */
function parseState(text: string): Partial<NodeState> {
  const parsed = parseJson(text) as Partial<Record<keyof NodeState, unknown>> | null | undefined;
  const { connections, draining } = parsed ?? {};
  return {
    ...(typeof connections === 'number' ? { connections } : {}),
    ...(typeof draining === 'boolean' ? { draining } : {}),
  };
}
