/**
 * Sends texts between nodes: at most once, to the nodes that listen at that moment. So a text must ask for an answer, or its
 * effect must also come without it.
 */
export interface Bus {
  /** Rejects if the text could not be sent. If it resolves, it is not known who received the text. */
  publish(topic: string, text: string): Promise<void>;
  /** Resolves once this node listens to the topic. It listens again after every reconnection. One handler per topic. */
  subscribe(topic: string, handler: (text: string) => void): Promise<void>;
}
