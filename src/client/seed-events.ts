/** Data of `spirit:grow`. */
export interface SpiritGrowth {
  readonly userId: number;
  readonly oldSpirit: number;
  readonly newSpirit: number;
  readonly gainAmount: number;
  readonly spiritRate: number;
  readonly elapsedSeconds: number;
  readonly timestamp: number;
}

/** Data of `dungeon:event`. */
export interface DungeonEvent {
  readonly userId: number;
  readonly eventType: 'start' | 'combat_round' | 'victory' | 'defeat' | 'treasure';
  readonly dungeon: string;
  readonly message: string;
  readonly roundNum?: number;
  readonly playerHp?: number;
  readonly enemyHp?: number;
  readonly damageDealt?: number;
  readonly damageTaken?: number;
  readonly loot?: unknown;
  readonly timestamp: number;
}

export type LeaderboardCategory = 'spirit' | 'power' | 'level';

export interface LeaderboardEntry {
  readonly rank: number;
  readonly userId: number;
  readonly username: string;
  readonly spirit?: number;
  readonly power?: number;
  readonly level?: number;
  readonly avatarUrl?: string;
}

export interface UserRank {
  readonly rank: number;
  readonly value: number;
  readonly percent: number;
}

/** Data of `leaderboard:update`. */
export interface LeaderboardUpdate {
  readonly type: 'update' | 'full_refresh';
  readonly category: LeaderboardCategory;
  readonly updateTime?: number;
  readonly top10?: readonly LeaderboardEntry[];
  readonly userRank?: UserRank;
  readonly timestamp: number;
}

/** Data of `exploration:event`. */
export interface ExplorationEvent {
  readonly userId: number;
  readonly eventType: 'start' | 'progress' | 'discovery' | 'complete' | 'failure';
  readonly exploreName: string;
  readonly message: string;
  readonly progress?: number;
  readonly durationSecs?: number;
  readonly elapsedSecs?: number;
  readonly discovery?: unknown;
  readonly reward?: unknown;
  readonly errorMsg?: string;
  readonly timestamp: number;
}

/** What `subscribeConnectionEvent` reports. */
export type ConnectionEvent =
  | { readonly status: 'open' | 'close'; readonly data: unknown }
  | { readonly status: 'error'; readonly error: unknown };
