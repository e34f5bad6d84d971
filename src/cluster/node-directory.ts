/** What a node announces of itself. */
export interface NodeState {
  readonly connections: number;
  readonly draining: boolean;
}

/** One node as the store of presence knows it. What it has not announced, or long ago, is absent. */
export interface NodeSighting extends Partial<NodeState> {
  /** `<name>:<incarnation>` */
  readonly node: string;
  /** Age of its last sign of life; undefined: it lost its lease for good, and its users are being ended. */
  readonly silentMs: number | undefined;
  /** Differs after each sign of life; undefined where there was none since the store began anew. */
  readonly sign: string | undefined;
  /** Users that it holds, lingering included. */
  readonly users: number;
}

/** The nodes of the deployment. Calls reject while the store is unreachable. */
export interface NodeDirectory {
  announce(state: NodeState): Promise<void>;
  list(): Promise<readonly NodeSighting[]>;
}
