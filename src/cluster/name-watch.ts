import type { NodeSighting } from './node-directory.ts';
import { nameOf } from './node-name.ts';

/** Other incarnations of one's own name that are remembered as told. */
const MAX_TOLD = 1000;

/**
 * Finds living nodes that bear this node's name. An earlier incarnation that was killed stands in the list for a
 * while as well: only who gives a new sign of life between two looks is alive.
 */
export class NameWatch {
  readonly #node: string;
  readonly #told = new Set<string>();
  #signs = new Map<string, string | undefined>();

  constructor(node: string) {
    this.#node = node;
  }

  /** Incarnations that were found alive by this look, each once. */
  look(nodes: readonly NodeSighting[]): readonly string[] {
    const namesakes = nodes.filter(({ node }) => node !== this.#node && nameOf(node) === nameOf(this.#node));
    const found = namesakes
      .filter(({ node, sign }) => {
        const before = this.#signs.get(node);
        return before !== undefined && sign !== undefined && sign !== before && !this.#told.has(node);
      })
      .map(({ node }) => node);
    this.#signs = new Map(namesakes.map(({ node, sign }) => [node, sign]));
    for (const node of found) if (this.#told.size < MAX_TOLD) this.#told.add(node);
    return found;
  }
}
