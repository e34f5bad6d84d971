/** Most users that one parcel may name. */
export const MAX_PARCEL_USERS = 500;

/** One message on its way to users on other nodes. */
export interface Parcel {
  /** Names the parcel in the answers of the nodes that get it. */
  readonly id: string;
  /**
   * At most {@link MAX_PARCEL_USERS}. `all`: everybody on every other node. `groups`: on every other node the members of the
   * groups that the fields name.
   */
  readonly users: readonly number[] | 'all' | 'groups';
  /** The members of the frame as JSON text, without braces. */
  readonly fields: string;
}

/** A node to which a parcel was sent. */
export interface RoutedNode {
  readonly node: string;
  /** Whether the node listened at that moment. */
  readonly heard: boolean;
  /** Number of users in the parcel for this node. For a parcel to all or to groups: number of users that the node holds. */
  readonly users: number;
}

/** Where one user of a parcel is: offline, online without a socket on another node, or on these nodes. */
export type Whereabouts = 'offline' | 'no-connection' | readonly string[];

/** The nodes that got one parcel, and where its users are. */
export interface Routed {
  readonly nodes: readonly RoutedNode[];
  /** In the order of the parcel's users; empty for a parcel to all or to groups. */
  readonly whereabouts: readonly Whereabouts[];
}

/**
 * Frames from node to node: at most once. Each carries its sender and a number that rises by one from each sender to each
 * receiver (rule DL7). Every call rejects while the store is unreachable.
 */
export interface Post {
  /** Sends one frame. `fields` are its members as JSON text. False: the node does not listen. */
  tell(node: string, fields: string): Promise<boolean>;
  /** Finds the nodes that hold the users, and sends the parcel to each of them in the same step (rule DL6). */
  route(parcels: readonly Parcel[]): Promise<readonly Routed[]>;
}
