/** What a node announces of itself. */
export interface NodeState {
  readonly connections: number;
  readonly draining: boolean;
}

/** One node as the presence store knows it. Fields that the node has not announced lately are absent. */
export interface NodeSighting extends Partial<NodeState> {
  /** `<name>:<incarnation>` */
  readonly node: string;
  /** Age of its last sign of life. Undefined: the node is dead, and its users are being logged out. */
  readonly silentMs: number | undefined;
  /** Differs after each sign of life. Undefined: the node has not renewed in this world. */
  readonly sign: string | undefined;
  /** Users that it holds, lingering included. */
  readonly users: number;
}

/** The nodes of the deployment. Calls reject while the store is unreachable. */
export interface NodeDirectory {
  announce(state: NodeState): Promise<void>;
  list(): Promise<readonly NodeSighting[]>;
}
