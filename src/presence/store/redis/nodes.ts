import type { NodeDirectory, NodeSighting, NodeState } from '../../../cluster/node-directory.ts';
import { parseJson } from '../../../protocol/json-text.ts';
import type { ScriptName } from './scripts.ts';
import type { StoreConnection } from './store-connection.ts';
import { decoder, SEEN_NODE } from './wire.ts';

export interface RedisNodesOptions {
  readonly link: StoreConnection;
  readonly prefix: string;
  /** This incarnation. */
  readonly node: string;
  readonly run: (name: ScriptName, args: readonly (string | number)[]) => Promise<unknown>;
}

/** What a node announces expires after this time, several times the interval of the announcements. */
const ANNOUNCED_TTL_MS = 15_000;

const decodeSeenNode = decoder(SEEN_NODE);

/** The nodes that share a Redis: their signs of life, their holds, and what they announce. */
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
    const replies = (await this.#options.run('nodes', [])) as (readonly (string | number)[])[];
    return replies.map((reply) => {
      const { node, ageMs, sign, users, announced } = decodeSeenNode(reply);
      return {
        node,
        silentMs: ageMs < 0 ? undefined : ageMs,
        sign: sign === '' ? undefined : sign,
        users,
        ...parseState(announced),
      };
    });
  }
}

/** Empty if the value is of another program. */
function parseState(text: string): Partial<NodeState> {
  const parsed = parseJson(text) as Partial<Record<keyof NodeState, unknown>> | null | undefined;
  const { connections, draining } = parsed ?? {};
  return {
    ...(typeof connections === 'number' ? { connections } : {}),
    ...(typeof draining === 'boolean' ? { draining } : {}),
  };
}
