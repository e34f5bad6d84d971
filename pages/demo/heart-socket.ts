import type { WebSocketClass } from '../../src/client/environment.ts';

/** A WebSocket that reports each heartbeat of the client, and drops it while `isMuted` returns true. */
export function heartSocket(beat: () => void, isMuted: () => boolean): WebSocketClass {
  class HeartSocket extends WebSocket {
    override send(data: string): void {
      if (data.startsWith('{"type":"ping"')) {
        if (isMuted()) return;
        beat();
      }
      super.send(data);
    }
  }
  return HeartSocket;
}
