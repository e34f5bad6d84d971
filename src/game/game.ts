import type { Clock, Timer } from '../lib/clock.ts';
import { logInternalError } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import type { GameAction, GameEvents, Ranked } from './events.ts';
import { Player, type Push } from './player.ts';
import { SavedPlayers } from './saved-players.ts';

/** More people do not play a demo. */
const MAX_PLAYERS = 500;
/** Each player has a turn once a second; the turns are spread over this many slices of the second. */
const SLICES = 5;
const SLICE_MS = 1000 / SLICES;
const RANKING_SLICES = 5 * SLICES;
const SAVING_SLICES = 2 * SLICES;
const TOP = 10;
/** So far back the game looks for the logout that ended a player's period. */
const TIMELINE = 20;

/** What the game uses of Lingxi. A {@link Gateway} has both. */
export interface Lingxi {
  readonly manager: {
    handle(type: string, handler: (received: Received) => unknown): () => void;
    sendToUser(userId: number, type: string, data: unknown): unknown;
    isUserOnline(userId: number): boolean;
  };
  readonly presence: {
    read(userIds: readonly number[]): Promise<readonly (Seen | undefined)[]>;
    timeline(
      userId: number,
      page: { readonly cursor: string | undefined; readonly limit: number },
    ): Promise<
      readonly { readonly event: string; readonly at: number; readonly cause: string }[] | undefined
    >;
  };
}

interface Received {
  readonly connection: { readonly userId: number; readonly registration: { readonly username: string } };
  readonly message: { readonly data?: unknown };
}

/** What presence says of a user. */
interface Seen {
  readonly status: 'online' | 'offline';
  readonly period: number | undefined;
  readonly loginTime: number | undefined;
  readonly logoutTime: number | undefined;
}

export interface GameOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  /** Where the players are kept. */
  readonly dataDir: string;
}

/**
 * The back end of the demo game. Spirit grows for players who are online, by the clock of this server, and never for time
 * offline: Lingxi says when a player came and went. Who does not send `game:join` gets nothing and costs nothing.
 */
export class Game {
  readonly #lingxi: Lingxi;
  readonly #options: GameOptions;
  readonly #saved: SavedPlayers;
  readonly #players = new Map<number, Player>();
  readonly #asking = new Set<number>();
  readonly #stops: (() => void)[] = [];
  #timer: Timer | undefined;
  #slice = 0;
  #ranking: readonly Player[] = [];
  #top: readonly Ranked[] = [];

  constructor(lingxi: Lingxi, options: GameOptions) {
    this.#lingxi = lingxi;
    this.#options = options;
    this.#saved = new SavedPlayers(options.dataDir);
  }

  start(): void {
    for (const kept of this.#saved.read(MAX_PLAYERS)) this.#players.set(kept.userId, new Player(kept));
    this.#on('game:join', (received) => this.#join(received));
    this.#on('game:dungeon', ({ connection }) =>
      this.#act(connection.userId, (player) => player.startDungeon()),
    );
    this.#on('game:explore', ({ connection }) =>
      this.#act(connection.userId, (player) => player.startExploration()),
    );
    this.#timer = this.#options.clock.every(SLICE_MS, () => this.#tick());
  }

  /** Resolves when the players are kept. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    for (const stop of this.#stops.splice(0)) stop();
    if (this.#players.size > 0) await this.#save();
  }

  #on(type: GameAction, handler: (received: Received) => unknown): void {
    this.#stops.push(this.#lingxi.manager.handle(type, handler));
  }

  #push(userId: number, ...[type, data]: Push): void {
    this.#lingxi.manager.sendToUser(userId, type, data);
  }

  #act(userId: number, action: (player: Player) => Push | undefined): void {
    const player = this.#players.get(userId);
    const push = player?.period === undefined ? undefined : action(player);
    if (push !== undefined) this.#push(userId, ...push);
  }

  async #join({ connection, message }: Received): Promise<void> {
    const { userId, registration } = connection;
    // Whoever asks many times gets one answer for all of them.
    if (this.#asking.has(userId)) return;
    this.#asking.add(userId);
    try {
      const player = this.#playerOf(userId, registration.username);
      if (player === undefined) return this.#push(userId, 'game:refused', { reason: 'full' });
      player.language = isChinese(message.data) ? 'zh' : 'en';
      await this.#welcome(player);
    } catch {
      // Presence does not answer. The page asks again.
      this.#push(userId, 'game:refused', { reason: 'presence-unavailable' });
    } finally {
      this.#asking.delete(userId);
    }
  }

  /** A player without a place gets that of the one who has been offline for the longest time. */
  #playerOf(userId: number, username: string): Player | undefined {
    const known = this.#players.get(userId);
    if (known !== undefined) known.username = username;
    if (known !== undefined) return known;
    if (this.#players.size >= MAX_PLAYERS) {
      const away = [...this.#players.values()].filter(({ period }) => period === undefined);
      const oldest = away.reduce<Player | undefined>(
        (found, player) => (found === undefined || player.grownUntil < found.grownUntil ? player : found),
        undefined,
      );
      if (oldest === undefined) return undefined;
      this.#players.delete(oldest.userId);
    }
    const player = new Player({ userId, username });
    this.#players.set(userId, player);
    return player;
  }

  async #welcome(player: Player): Promise<void> {
    const { clock } = this.#options;
    const { userId } = player;
    const now = clock.now();
    const [[seen], timeline] = await Promise.all([
      this.#lingxi.presence.read([userId]),
      this.#lingxi.presence.timeline(userId, { cursor: undefined, limit: TIMELINE }),
    ]);
    // Gone again, or a newer period has begun: the next message is about that one.
    if (seen?.status !== 'online' || seen.period === undefined || seen.loginTime === undefined) return;
    const isNew = player.grownUntil === 0;
    let away: GameEvents['game:state']['away'];
    if (player.period !== seen.period) {
      const end = timeline?.find(({ event, at }) => event === 'offline' && at <= (seen.loginTime ?? now));
      player.leave(Math.min(end?.at ?? player.grownUntil, seen.loginTime));
      if (!isNew) away = { from: player.grownUntil, to: seen.loginTime, cause: end?.cause ?? '' };
      player.enter(seen.period, seen.loginTime);
    }
    player.grow(now);
    const { gainAmount } = player.tell();
    this.#push(userId, 'game:state', {
      spirit: player.spirit,
      spiritRate: player.rate,
      power: player.power,
      level: player.level,
      onlineSince: seen.loginTime,
      grownUnseen: isNew ? 0 : gainAmount,
      ...(away === undefined ? {} : { away }),
    });
    const left = away === undefined ? undefined : player.returned();
    if (left !== undefined) this.#push(userId, ...left);
    this.#rank();
    this.#tellRank(player);
  }

  #tick(): void {
    this.#slice += 1;
    if (this.#players.size === 0) return;
    if (this.#slice % RANKING_SLICES === 0) this.#rank();
    if (this.#slice % SAVING_SLICES === 0) this.#inBackground(this.#save());
    const turn = [...this.#players.values()].filter(
      ({ userId, period }) => period !== undefined && userId % SLICES === this.#slice % SLICES,
    );
    if (turn.length > 0) this.#inBackground(this.#look(turn));
  }

  /** Asks who of these is online still, and lets their spirit grow. */
  async #look(players: readonly Player[]): Promise<void> {
    const turns = players.map(({ turn }) => turn);
    const now = this.#options.clock.now();
    const read = await this.#lingxi.presence.read(players.map(({ userId }) => userId)).catch(() => undefined);
    // Presence does not answer: nobody can log out either. What grows now comes with the next answer.
    if (read === undefined) return;
    players.forEach((player, index) => {
      // The player came or went while presence was asked.
      if (player.turn === turns[index]) this.#see(player, read[index], now);
    });
  }

  #see(player: Player, seen: Seen | undefined, now: number): void {
    if (seen?.status === 'online' && seen.period === player.period) {
      player.grow(now);
      this.#live(player);
    } else if (seen?.status === 'offline') player.leave(seen.logoutTime ?? player.grownUntil);
    // A new period: the game knows the end of the old one when the player joins.
    else if (seen?.status !== 'online') player.leave(player.grownUntil);
  }

  /** One second in the life of a player who is online. Without a connection it goes on unseen. */
  #live(player: Player): void {
    const pushes = player.step(this.#options.random);
    if (!this.#lingxi.manager.isUserOnline(player.userId)) return;
    this.#push(player.userId, 'spirit:grow', player.tell());
    for (const push of pushes) this.#push(player.userId, ...push);
    if (this.#slice % RANKING_SLICES < SLICES) this.#tellRank(player);
  }

  #rank(): void {
    this.#ranking = [...this.#players.values()].sort((a, b) => b.spirit - a.spirit);
    this.#top = this.#ranking.slice(0, TOP).map(({ userId, username, spirit, power, level }, index) => ({
      rank: index + 1,
      userId,
      username,
      spirit,
      power,
      level,
      avatarUrl: '',
    }));
  }

  #tellRank(player: Player): void {
    const rank = this.#ranking.indexOf(player) + 1;
    const timestamp = Math.floor(this.#options.clock.now() / 1000);
    this.#push(player.userId, 'leaderboard:update', {
      type: 'full_refresh',
      category: 'spirit',
      updateTime: timestamp,
      top10: this.#top,
      userRank: {
        rank,
        value: player.spirit,
        percent: Math.round((100 * rank) / Math.max(1, this.#ranking.length)),
      },
      timestamp,
    });
  }

  async #save(): Promise<void> {
    await this.#saved.write([...this.#players.values()].map((player) => player.kept()));
  }

  #inBackground(work: Promise<void>): void {
    work.catch((error: unknown) => logInternalError(this.#options.log, { where: 'background', error }));
  }
}

function isChinese(data: unknown): boolean {
  return typeof data === 'object' && data !== null && (data as { language?: unknown }).language === 'zh';
}
