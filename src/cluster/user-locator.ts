/** Where users are, as presence knows it. */
export interface UserLocator {
  /** Users online in the whole deployment, as of this node's last renewal. */
  onlineCount(): number;
  /** Rejects while the store is unreachable. */
  locate(userIds: readonly number[]): Promise<
    readonly (
      | {
          readonly status: 'online' | 'offline';
          /** Number of sockets on other nodes. */
          readonly socketsElsewhere: number;
          /** Sockets on all nodes. */
          readonly sockets: number;
        }
      | undefined
    )[]
  >;
  /** Number of members of a group. Rejects while the store is unreachable. */
  groupSize(group: string): Promise<number>;
}
