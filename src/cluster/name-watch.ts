import type { NodeSighting } from './node-directory.ts';
import { nameOf } from './node-name.ts';

/** Largest number of reported incarnations that are remembered. */
const MAX_TOLD = 1000;

/**
 * Finds living nodes with the name of this node. A killed earlier incarnation stays in the list for a while. So a node counts as
 * alive only if it gives a new sign of life between two looks.
 */
export class NameWatch {
  readonly #node: string;
  readonly #told = new Set<string>();
  #signs = new Map<string, string | undefined>();

  constructor(node: string) {
    this.#node = node;
  }

  /** Returns the incarnations that this look found alive, each only once. */
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
