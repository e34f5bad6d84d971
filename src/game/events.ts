/** The messages that the demo game pushes. The first four are the events of the Go game, with the same fields. */
export interface GameEvents {
  'spirit:grow': {
    readonly userId: number;
    readonly oldSpirit: number;
    readonly newSpirit: number;
    readonly gainAmount: number;
    /** Per second. */
    readonly spiritRate: number;
    readonly elapsedSeconds: number;
    readonly timestamp: number;
  };
  'dungeon:event': {
    readonly userId: number;
    readonly eventType: 'start' | 'combat_round' | 'victory' | 'defeat' | 'treasure';
    readonly dungeon: string;
    readonly message: string;
    readonly roundNum: number;
    readonly playerHp: number;
    readonly enemyHp: number;
    readonly damageDealt: number;
    readonly damageTaken: number;
    readonly loot: string;
    readonly timestamp: number;
  };
  'leaderboard:update': {
    readonly type: 'update' | 'full_refresh';
    readonly category: 'spirit' | 'power' | 'level';
    readonly updateTime: number;
    readonly top10: readonly Ranked[];
    readonly userRank: { readonly rank: number; readonly value: number; readonly percent: number };
    readonly timestamp: number;
  };
  'exploration:event': {
    readonly userId: number;
    readonly eventType: 'start' | 'progress' | 'discovery' | 'complete' | 'failure';
    readonly exploreName: string;
    readonly message: string;
    /** 0 to 100. */
    readonly progress: number;
    readonly durationSecs: number;
    readonly elapsedSecs: number;
    readonly discovery: string;
    readonly reward: string;
    readonly errorMsg: string;
    readonly timestamp: number;
  };
  /** The answer to `game:join`. */
  'game:state': {
    readonly spirit: number;
    readonly spiritRate: number;
    readonly power: number;
    readonly level: number;
    /** Wall-clock ms at which the user came online. */
    readonly onlineSince: number;
    /** The growth since the game last sent something, during which the user stayed online. */
    readonly grownUnseen: number;
    /** Present if the user was offline since the game last saw the user. Nothing grew between `from` and `to`. */
    readonly away?: { readonly from: number; readonly to: number; readonly cause: string };
  };
  /** The answer to `game:join` if the game cannot accept the user. */
  'game:refused': { readonly reason: 'full' | 'presence-unavailable' };
}

export interface Ranked {
  readonly rank: number;
  readonly userId: number;
  readonly username: string;
  readonly spirit: number;
  readonly power: number;
  readonly level: number;
  readonly avatarUrl: string;
}

/** The messages that the page sends. */
export type GameAction = 'game:join' | 'game:dungeon' | 'game:explore';
