// The exports that the Go game's pages import from their own `services/websocket.js` and `composables/useWebSocket.js`.
export {
  useDungeonCombat,
  useExploration,
  useLeaderboard,
  useSpiritGrowth,
  useWebSocket,
} from './seed-composables.ts';
export type {
  ConnectionEvent,
  DungeonEvent,
  ExplorationEvent,
  LeaderboardCategory,
  LeaderboardEntry,
  LeaderboardUpdate,
  SpiritGrowth,
  UserRank,
} from './seed-events.ts';
export {
  subscribeConnectionEvent,
  subscribeDungeonEvent,
  subscribeExplorationEvent,
  subscribeLeaderboardUpdate,
  subscribeSpiritGrowth,
  WebSocketManager,
  wsManager,
  wsManager as default,
} from './seed-manager.ts';
