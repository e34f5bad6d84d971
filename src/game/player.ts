import type { GameEvents } from './events.ts';

/** Spirit (灵力) per second at level 1, and the increase for each further level. */
const BASE_RATE = 1;
const RATE_PER_LEVEL = 0.25;
/** Each level needs twice the spirit of the level before. */
const FIRST_LEVEL_SPIRIT = 60;
const FULL_HP = 100;
const START_POWER = 10;
const VICTORY = { spirit: 20, power: 5 } as const;
const EXPLORATION_S = 12;
const EXPLORATION_SPIRIT = 30;
const FAILURE_SHARE = 0.1;

export type Language = 'en' | 'zh';
/** A message to a player: its type and its data. */
export type Push = {
  [Type in keyof GameEvents]: readonly [type: Type, data: GameEvents[Type]];
}[keyof GameEvents];

/** The stored data of a player. */
export interface KeptPlayer {
  readonly userId: number;
  readonly username: string;
  readonly spirit: number;
  readonly power: number;
  /** Wall-clock ms until which the spirit has grown. */
  readonly grownUntil: number;
  /** The present period, in which the spirit grows. Absent: the player is offline, and nothing grows. */
  readonly period?: number;
}

const TEXTS = {
  dungeon: { en: 'Cave of Echoes', zh: '回音洞' },
  enter: { en: 'You enter the cave. A stone ape blocks the way.', zh: '你走进山洞，一只石猿拦住去路。' },
  round: { en: 'You strike, and the ape strikes back.', zh: '你出剑，石猿还击。' },
  victory: { en: 'The ape flees. +20 spirit, +5 power.', zh: '石猿逃走了。灵力 +20，战力 +5。' },
  defeat: { en: 'You crawl out of the cave.', zh: '你狼狈地退出山洞。' },
  chest: { en: 'Behind it stands a chest.', zh: '它身后有一个宝箱。' },
  loot: { en: 'Jade slip', zh: '玉简' },
  place: { en: 'Misty Valley', zh: '云雾谷' },
  leave: { en: 'You set out.', zh: '你出发了。' },
  walk: { en: 'You walk on.', zh: '你继续前行。' },
  find: { en: 'Something glows under the moss.', zh: '苔藓下有东西在发光。' },
  found: { en: 'Spirit herb', zh: '灵草' },
  back: { en: 'You are back. +30 spirit.', zh: '你平安归来。灵力 +30。' },
  lost: { en: 'The mist led you in a circle.', zh: '雾气让你绕了一圈，无功而返。' },
  away: { en: 'You went offline on the way.', zh: '途中你下线了。' },
} as const satisfies Record<string, Record<Language, string>>;

/** One player: the rules of the game, without a clock, a store or a network. Times are wall-clock ms. */
export class Player {
  readonly userId: number;
  username: string;
  language: Language = 'en';
  power: number;
  /** Changes with each change of {@link period}. So the game can recognise an answer about an older period. */
  turn = 0;
  #spirit: number;
  #grownUntil: number;
  #period: number | undefined;
  /** The spirit in the last message to the player. */
  #told: { spirit: number; at: number };
  #fight: { round: number; playerHp: number; enemyHp: number } | undefined;
  #walk: { elapsed: number; found: boolean } | undefined;

  constructor(kept: Pick<KeptPlayer, 'userId' | 'username'> & Partial<KeptPlayer>) {
    this.userId = kept.userId;
    this.username = kept.username;
    this.power = kept.power ?? START_POWER;
    this.#spirit = kept.spirit ?? 0;
    this.#grownUntil = kept.grownUntil ?? 0;
    this.#period = kept.period;
    this.#told = { spirit: this.#spirit, at: this.#grownUntil };
  }

  get period(): number | undefined {
    return this.#period;
  }

  /** Set while the player is offline: the time of the logout. */
  get grownUntil(): number {
    return this.#grownUntil;
  }

  get spirit(): number {
    return rounded(this.#spirit);
  }

  get level(): number {
    return 1 + Math.floor(Math.log2(1 + this.#spirit / FIRST_LEVEL_SPIRIT));
  }

  /** Per second. */
  get rate(): number {
    return BASE_RATE + RATE_PER_LEVEL * (this.level - 1);
  }

  kept(): KeptPlayer {
    const { userId, username, power } = this;
    const kept = { userId, username, power, spirit: this.spirit, grownUntil: this.#grownUntil };
    return this.#period === undefined ? kept : { ...kept, period: this.#period };
  }

  /** The player is online since `at`. */
  enter(period: number, at: number): void {
    this.turn += 1;
    this.#period = period;
    this.#grownUntil = at;
    this.#told = { spirit: this.spirit, at };
  }

  /**
   * The player went offline at `at`, the time that Lingxi settled. The game learns this a little later, and takes back the growth
   * since `at`.
   */
  leave(at: number): void {
    if (this.#period === undefined) return;
    const seconds = (at - this.#grownUntil) / 1000;
    this.#spirit = Math.max(0, this.#spirit + seconds * this.rate);
    this.turn += 1;
    this.#period = undefined;
    this.#grownUntil = at;
    this.#fight = undefined;
  }

  /** The player is online, and was online until `now`. */
  grow(now: number): void {
    if (this.#period === undefined) return;
    // The clock of the machine may go back. Spirit that has grown stays.
    const seconds = Math.max(0, (now - this.#grownUntil) / 1000);
    this.#spirit += seconds * this.rate;
    this.#grownUntil = now;
  }

  /** Returns the growth since the last message to the player, which the player now gets. */
  tell(): GameEvents['spirit:grow'] {
    const { spirit: oldSpirit, at } = this.#told;
    const newSpirit = this.spirit;
    this.#told = { spirit: newSpirit, at: this.#grownUntil };
    return {
      userId: this.userId,
      oldSpirit,
      newSpirit,
      gainAmount: rounded(newSpirit - oldSpirit),
      spiritRate: this.rate,
      elapsedSeconds: rounded(Math.max(0, this.#grownUntil - at) / 1000),
      timestamp: this.#seconds,
    };
  }

  /** Undefined while another fight is in progress. */
  startDungeon(): Push | undefined {
    if (this.#fight !== undefined) return undefined;
    this.#fight = { round: 0, playerHp: FULL_HP, enemyHp: FULL_HP };
    return this.#dungeon('start', TEXTS.enter);
  }

  /** Undefined if the player is already exploring. */
  startExploration(): Push | undefined {
    if (this.#walk !== undefined) return undefined;
    this.#walk = { elapsed: 0, found: false };
    return this.#exploration('start', TEXTS.leave);
  }

  /** Ends the activities that the player left by going offline. */
  returned(): Push | undefined {
    if (this.#walk === undefined) return undefined;
    const push = this.#exploration('failure', TEXTS.away, { errorMsg: TEXTS.away[this.language] });
    this.#walk = undefined;
    return push;
  }

  /** One second of the player's present activity. */
  step(random: () => number): readonly Push[] {
    if (this.#period === undefined) return [];
    return [...this.#fightOn(random), ...this.#walkOn(random)];
  }

  #fightOn(random: () => number): readonly Push[] {
    const fight = this.#fight;
    if (fight === undefined) return [];
    const damageDealt = Math.round(12 + random() * 12 + this.power / 10);
    const damageTaken = Math.round(5 + random() * 15);
    fight.round += 1;
    fight.enemyHp = Math.max(0, fight.enemyHp - damageDealt);
    // A defeated ape no longer strikes.
    const struck = fight.enemyHp === 0 ? 0 : damageTaken;
    fight.playerHp = Math.max(0, fight.playerHp - struck);
    const round = this.#dungeon('combat_round', TEXTS.round, { damageDealt, damageTaken: struck });
    if (fight.enemyHp > 0 && fight.playerHp > 0) return [round];
    const isWon = fight.enemyHp === 0;
    if (isWon) {
      this.#spirit += VICTORY.spirit;
      this.power += VICTORY.power;
    }
    const end = isWon ? this.#dungeon('victory', TEXTS.victory) : this.#dungeon('defeat', TEXTS.defeat);
    const chest = isWon ? [this.#dungeon('treasure', TEXTS.chest, { loot: TEXTS.loot[this.language] })] : [];
    this.#fight = undefined;
    return [round, end, ...chest];
  }

  #walkOn(random: () => number): readonly Push[] {
    const walk = this.#walk;
    if (walk === undefined) return [];
    walk.elapsed += 1;
    if (walk.elapsed >= EXPLORATION_S) {
      const isLost = random() < FAILURE_SHARE;
      if (!isLost) this.#spirit += EXPLORATION_SPIRIT;
      const end = isLost
        ? this.#exploration('failure', TEXTS.lost, { errorMsg: TEXTS.lost[this.language] })
        : this.#exploration('complete', TEXTS.back, { reward: `+${EXPLORATION_SPIRIT}` });
      this.#walk = undefined;
      return [end];
    }
    const progress = this.#exploration('progress', TEXTS.walk);
    if (walk.found || walk.elapsed < EXPLORATION_S / 2) return [progress];
    walk.found = true;
    return [progress, this.#exploration('discovery', TEXTS.find, { discovery: TEXTS.found[this.language] })];
  }

  #dungeon(
    eventType: GameEvents['dungeon:event']['eventType'],
    message: Record<Language, string>,
    more: Partial<GameEvents['dungeon:event']> = {},
  ): Push {
    return [
      'dungeon:event',
      {
        userId: this.userId,
        eventType,
        dungeon: TEXTS.dungeon[this.language],
        message: message[this.language],
        roundNum: this.#fight?.round ?? 0,
        playerHp: this.#fight?.playerHp ?? 0,
        enemyHp: this.#fight?.enemyHp ?? 0,
        damageDealt: 0,
        damageTaken: 0,
        loot: '',
        timestamp: this.#seconds,
        ...more,
      },
    ];
  }

  #exploration(
    eventType: GameEvents['exploration:event']['eventType'],
    message: Record<Language, string>,
    more: Partial<GameEvents['exploration:event']> = {},
  ): Push {
    const elapsedSecs = this.#walk?.elapsed ?? 0;
    return [
      'exploration:event',
      {
        userId: this.userId,
        eventType,
        exploreName: TEXTS.place[this.language],
        message: message[this.language],
        progress: Math.round((100 * elapsedSecs) / EXPLORATION_S),
        durationSecs: EXPLORATION_S,
        elapsedSecs,
        discovery: '',
        reward: '',
        errorMsg: '',
        timestamp: this.#seconds,
        ...more,
      },
    ];
  }

  get #seconds(): number {
    return Math.floor(this.#grownUntil / 1000);
  }
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
