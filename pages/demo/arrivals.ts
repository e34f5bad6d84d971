import type { GameEvents, Ranked } from '../../src/game/events.ts';

type Check = (value: unknown) => boolean;
type Shape<T> = { readonly [Field in keyof T]-?: Check };
type Guards = { readonly [Type in keyof GameEvents]: (data: unknown) => data is GameEvents[Type] };

// JSON may contain 1e999, which is read as infinity.
const number: Check = (value) => Number.isFinite(value);
const text: Check = (value) => typeof value === 'string';
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const list =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);

function record<T>(shape: Shape<T>): (value: unknown) => value is T {
  return (value): value is T =>
    typeof value === 'object' &&
    value !== null &&
    Object.entries<Check>(shape).every(([field, check]) => check((value as Record<string, unknown>)[field]));
}

const ranked = record<Ranked>({
  rank: number,
  userId: number,
  username: text,
  spirit: number,
  power: number,
  level: number,
  avatarUrl: text,
});

/** Whether a message has the fields of its type. A holder of the service key may push anything to this page. */
export const ARRIVALS: Guards = {
  'spirit:grow': record<GameEvents['spirit:grow']>({
    userId: number,
    oldSpirit: number,
    newSpirit: number,
    gainAmount: number,
    spiritRate: number,
    elapsedSeconds: number,
    timestamp: number,
  }),
  'dungeon:event': record<GameEvents['dungeon:event']>({
    userId: number,
    eventType: text,
    dungeon: text,
    message: text,
    roundNum: number,
    playerHp: number,
    enemyHp: number,
    damageDealt: number,
    damageTaken: number,
    loot: text,
    timestamp: number,
  }),
  'leaderboard:update': record<GameEvents['leaderboard:update']>({
    type: text,
    category: text,
    updateTime: number,
    top10: list(ranked),
    userRank: record<GameEvents['leaderboard:update']['userRank']>({
      rank: number,
      value: number,
      percent: number,
    }),
    timestamp: number,
  }),
  'exploration:event': record<GameEvents['exploration:event']>({
    userId: number,
    eventType: text,
    exploreName: text,
    message: text,
    progress: number,
    durationSecs: number,
    elapsedSecs: number,
    discovery: text,
    reward: text,
    errorMsg: text,
    timestamp: number,
  }),
  'game:state': record<GameEvents['game:state']>({
    spirit: number,
    spiritRate: number,
    power: number,
    level: number,
    onlineSince: number,
    grownUnseen: number,
    away: optional(
      record<NonNullable<GameEvents['game:state']['away']>>({ from: number, to: number, cause: text }),
    ),
  }),
  'game:refused': record<GameEvents['game:refused']>({ reason: text }),
};
