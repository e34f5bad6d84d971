/** Where users are, as presence knows it. */
export interface Whereabouts {
  /** Users online in the whole deployment, as far as this node has heard. */
  onlineCount(): number;
  /** Rejects while the store is unreachable. */
  locate(userIds: readonly number[]): Promise<
    readonly (
      | {
          readonly status: 'online' | 'offline';
          /** Sockets on other nodes than this one. */
          readonly socketsElsewhere: number;
          /** Sockets on all nodes. */
          readonly sockets: number;
        }
      | undefined
    )[]
  >;
  /** How many are in a group. Rejects while the store is unreachable. */
  groupSize(group: string): Promise<number>;
}
