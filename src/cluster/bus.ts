/**
 * Texts between nodes: at most once, to the nodes that listen at that moment. What a node sends here must also come true
 * without it, or be answered.
 */
export interface Bus {
  /** Rejects where the way is cut; resolving says nothing of who heard it. */
  publish(topic: string, text: string): Promise<void>;
  /** Resolves once the topic is heard, from then on over every reconnection. One handler a topic. */
  subscribe(topic: string, handler: (text: string) => void): Promise<void>;
}
