import { getCurrentScope, onScopeDispose, type Ref, ref } from 'vue';
import { realEnvironment } from './environment.ts';
import type {
  DungeonEvent,
  ExplorationEvent,
  LeaderboardCategory,
  LeaderboardEntry,
  LeaderboardUpdate,
  SpiritGrowth,
  UserRank,
} from './seed-events.ts';
import {
  subscribeConnectionEvent,
  subscribeDungeonEvent,
  subscribeExplorationEvent,
  subscribeLeaderboardUpdate,
  subscribeSpiritGrowth,
  wsManager,
} from './seed-manager.ts';

const environment = realEnvironment();

type ConnectionStatus = 'disconnected' | 'connecting' | 'connected' | 'error';

const STATUS_AFTER = { open: 'connected', close: 'disconnected', error: 'error' } as const;

/** The connection of the page and the newest data of its four types of messages, as refs. */
export function useWebSocket() {
  const isConnected = ref(wsManager.isConnected);
  const connectionStatus = ref<ConnectionStatus>(wsManager.isConnected ? 'connected' : 'disconnected');
  const spiritData: Ref<SpiritGrowth | null> = ref(null);
  const dungeonData: Ref<DungeonEvent | null> = ref(null);
  const leaderboardData: Ref<LeaderboardUpdate | null> = ref(null);
  const explorationData: Ref<ExplorationEvent | null> = ref(null);
  const stop = subscribeConnectionEvent(({ status }) => {
    isConnected.value = wsManager.isConnected;
    connectionStatus.value = STATUS_AFTER[status];
  });
  if (getCurrentScope()) onScopeDispose(stop);
  return {
    isConnected,
    connectionStatus,
    spiritData,
    dungeonData,
    leaderboardData,
    explorationData,
    async initWebSocket(token: string, userId: string | number): Promise<void> {
      connectionStatus.value = 'connecting';
      try {
        await wsManager.connect(token, userId);
        isConnected.value = true;
        connectionStatus.value = 'connected';
      } catch (error) {
        isConnected.value = false;
        connectionStatus.value = 'error';
        throw error;
      }
    },
    subscribeSpiritGrowthData: keepNewest(subscribeSpiritGrowth, spiritData),
    subscribeDungeonEventData: keepNewest(subscribeDungeonEvent, dungeonData),
    subscribeLeaderboardUpdateData: keepNewest(subscribeLeaderboardUpdate, leaderboardData),
    subscribeExplorationEventData: keepNewest(subscribeExplorationEvent, explorationData),
    watchConnectionStatus: (callback: (status: 'open' | 'close' | 'error', error?: unknown) => unknown) =>
      subscribeConnectionEvent((event) =>
        event.status === 'error' ? callback('error', event.error) : callback(event.status),
      ),
    disconnect(): void {
      wsManager.disconnect();
      isConnected.value = false;
      connectionStatus.value = 'disconnected';
    },
    getStatus: () => ({
      isConnected: isConnected.value,
      connectionStatus: connectionStatus.value,
      spiritData: spiritData.value,
      dungeonData: dungeonData.value,
      leaderboardData: leaderboardData.value,
      explorationData: explorationData.value,
    }),
  };
}

/** Subscribes, and writes the newest data to `newest`. */
function keepNewest<T>(
  subscribe: (callback: (data: T) => unknown) => () => void,
  newest: Ref<T | null>,
): (callback?: (data: T) => unknown) => () => void {
  return (callback) =>
    subscribe((data) => {
      newest.value = data;
      callback?.(data);
    });
}

const MAX_SPIRIT_EVENTS = 100;
const MAX_LOG = 50;

export function useSpiritGrowth() {
  const spiritGrowthEvents: Ref<(SpiritGrowth & { receivedAt: number })[]> = ref([]);
  const currentSpirit = ref(0);
  const totalGainedSpirit = ref(0);
  return {
    spiritGrowthEvents,
    currentSpirit,
    totalGainedSpirit,
    handleSpiritGrowth(data: SpiritGrowth): void {
      spiritGrowthEvents.value = withNewest(spiritGrowthEvents.value, received(data), MAX_SPIRIT_EVENTS);
      currentSpirit.value = data.newSpirit;
      totalGainedSpirit.value += data.gainAmount;
    },
    clearHistory(): void {
      spiritGrowthEvents.value = [];
      totalGainedSpirit.value = 0;
    },
  };
}

export function useDungeonCombat() {
  const combatLog: Ref<(DungeonEvent & { receivedAt: number })[]> = ref([]);
  const currentDungeon: Ref<string | null> = ref(null);
  const combatState: Ref<'idle' | 'fighting' | 'victory' | 'defeat'> = ref('idle');
  return {
    combatLog,
    currentDungeon,
    combatState,
    handleDungeonEvent(data: DungeonEvent): void {
      combatLog.value = withNewest(combatLog.value, received(data), MAX_LOG);
      currentDungeon.value = data.dungeon;
      const { eventType } = data;
      if (eventType === 'start' || eventType === 'combat_round') combatState.value = 'fighting';
      else if (eventType === 'victory' || eventType === 'defeat') combatState.value = eventType;
    },
    clearLog(): void {
      combatLog.value = [];
      currentDungeon.value = null;
      combatState.value = 'idle';
    },
  };
}

interface Leaderboard {
  top10: readonly LeaderboardEntry[];
  userRank: UserRank | null;
}

export function useLeaderboard() {
  const leaderboards: Ref<Record<LeaderboardCategory, Leaderboard>> = ref({
    spirit: { top10: [], userRank: null },
    power: { top10: [], userRank: null },
    level: { top10: [], userRank: null },
  });
  const getLeaderboard = (category: LeaderboardCategory): Leaderboard | undefined =>
    Object.hasOwn(leaderboards.value, category) ? leaderboards.value[category] : undefined;
  return {
    leaderboards,
    handleLeaderboardUpdate({ type, category, top10, userRank }: LeaderboardUpdate): void {
      const board = getLeaderboard(category);
      if (!board) return;
      if (type === 'full_refresh') board.top10 = top10 ?? [];
      if (type === 'full_refresh' || type === 'update') board.userRank = userRank ?? null;
    },
    getLeaderboard,
  };
}

export function useExploration() {
  const explorationLog: Ref<(ExplorationEvent & { receivedAt: number })[]> = ref([]);
  const currentExploration: Ref<string | null> = ref(null);
  const explorationProgress = ref(0);
  const reset = (name: string | null): void => {
    currentExploration.value = name;
    explorationProgress.value = 0;
  };
  return {
    explorationLog,
    currentExploration,
    explorationProgress,
    handleExplorationEvent(data: ExplorationEvent): void {
      explorationLog.value = withNewest(explorationLog.value, received(data), MAX_LOG);
      if (data.eventType === 'start') reset(data.exploreName);
      else if (data.eventType === 'progress') explorationProgress.value = data.progress ?? 0;
      else if (data.eventType === 'complete' || data.eventType === 'failure') reset(null);
    },
    clearLog(): void {
      explorationLog.value = [];
      reset(null);
    },
  };
}

function received<T extends object>(data: T): T & { receivedAt: number } {
  return { ...data, receivedAt: environment.now() };
}

/** The newest comes first. */
function withNewest<T>(list: readonly T[], item: T, limit: number): T[] {
  return [item, ...list].slice(0, limit);
}
