import type { Clock, Timer } from '../lib/clock.ts';
import { logInternalError } from '../logging/internal-error.ts';
import type { Log } from '../logging/log.ts';
import type { GameAction, GameEvents, Ranked } from './events.ts';
import { type Join, Joins } from './joins.ts';
import { type KeptPlayer, Player, type Push } from './player.ts';
import { SavedPlayers } from './saved-players.ts';

/** Largest number of players in the demo. */
const MAX_PLAYERS = 500;
/** Each player has a turn once a second. The turns are spread over this many slices of the second. */
const SLICES = 5;
const SLICE_MS = 1000 / SLICES;
const RANKING_SLICES = 5 * SLICES;
const SAVING_SLICES = 2 * SLICES;
const TOP = 10;
/** Number of users who are answered in one slice. The others wait for the next slice. */
const MAX_ANSWERS = 100;
/** The game searches this far back for the logout that ended a player's period. */
const TIMELINE = 20;

/** The parts of Lingxi that the game uses. A {@link Gateway} has both. */
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

type Logout = { readonly at: number; readonly cause: string };

/** The period of a joining player, and the time of the call to presence about it. */
interface Welcome {
  readonly period: number;
  readonly loginTime: number;
  readonly now: number;
}

/** The answer of presence about a user. */
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
  /** The storage of the players. */
  readonly dataDir: string;
}

/**
 * The back end of the demo game. Spirit grows for players who are online, by the clock of this server, and never for time
 * offline: Lingxi reports when a player came and went. A user who does not send `game:join` gets nothing and costs nothing.
 */
export class Game {
  readonly #lingxi: Lingxi;
  readonly #options: GameOptions;
  readonly #saved: SavedPlayers;
  readonly #players = new Map<number, Player>();
  /** Players without a period, in the order in which they went offline. */
  readonly #offline = new Set<Player>();
  readonly #joins = new Joins(SLICES);
  readonly #stops: (() => void)[] = [];
  #timer: Timer | undefined;
  #slice = 0;
  #isAnswering = false;
  #ranks: ReadonlyMap<Player, number> = new Map();
  /** Players who joined after the last ranking. */
  readonly #unranked = new Set<Player>();
  #top: readonly Ranked[] = [];

  constructor(lingxi: Lingxi, options: GameOptions) {
    this.#lingxi = lingxi;
    this.#options = options;
    this.#saved = new SavedPlayers(options.dataDir);
  }

  start(): void {
    for (const kept of this.#saved.read(MAX_PLAYERS)) this.#players.set(kept.userId, new Player(kept));
    const offline = [...this.#players.values()].filter(({ period }) => period === undefined);
    for (const player of offline.sort((a, b) => a.grownUntil - b.grownUntil)) this.#offline.add(player);
    this.#rank();
    this.#on('game:join', ({ connection, message }) =>
      this.#joins.add({
        userId: connection.userId,
        username: connection.registration.username,
        language: isChinese(message.data) ? 'zh' : 'en',
      }),
    );
    this.#on('game:dungeon', ({ connection }) =>
      this.#act(connection.userId, (player) => player.startDungeon()),
    );
    this.#on('game:explore', ({ connection }) =>
      this.#act(connection.userId, (player) => player.startExploration()),
    );
    this.#timer = this.#options.clock.every(SLICE_MS, () => this.#tick());
  }

  /** Resolves when the players are stored. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    for (const stop of this.#stops.splice(0)) stop();
    if (this.#players.size > 0) await this.#saved.writeLast(this.#kept());
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

  /** Answers all users who asked to join, with one call to presence. So a flood of requests costs no more than one request. */
  async #answerJoins(): Promise<void> {
    if (this.#isAnswering) return;
    const joins = this.#joins.take(this.#slice, MAX_ANSWERS);
    if (joins.length === 0) return;
    this.#isAnswering = true;
    try {
      const now = this.#options.clock.now();
      const seen = await this.#lingxi.presence.read(joins.map(({ userId }) => userId));
      await Promise.all(joins.map((join, index) => this.#answer(join, seen[index], now)));
    } catch {
      // Presence does not answer. The pages will ask again.
      for (const { userId } of joins) this.#push(userId, 'game:refused', { reason: 'presence-unavailable' });
    } finally {
      this.#isAnswering = false;
    }
  }

  async #answer(join: Join, seen: Seen | undefined, now: number): Promise<void> {
    // The user has left again: the next message is about a newer period.
    if (seen?.status !== 'online' || seen.period === undefined || seen.loginTime === undefined) return;
    const player = this.#playerOf(join);
    if (player === undefined) return this.#push(join.userId, 'game:refused', { reason: 'full' });
    player.language = join.language;
    try {
      await this.#welcome(player, { period: seen.period, loginTime: seen.loginTime, now });
    } catch {
      this.#push(join.userId, 'game:refused', { reason: 'presence-unavailable' });
    } finally {
      if (player.period === undefined) this.#offline.add(player);
      else this.#offline.delete(player);
    }
  }

  /** If there is no place, the player replaces the one who went offline first. */
  #playerOf({ userId, username }: Join): Player | undefined {
    const known = this.#players.get(userId);
    if (known !== undefined) {
      known.username = username;
      // Nobody may replace a joining player.
      this.#offline.delete(known);
      return known;
    }
    if (this.#players.size >= MAX_PLAYERS) {
      const [gone] = this.#offline;
      if (gone === undefined) return undefined;
      this.#offline.delete(gone);
      this.#unranked.delete(gone);
      this.#players.delete(gone.userId);
    }
    const player = new Player({ userId, username });
    this.#players.set(userId, player);
    this.#unranked.add(player);
    return player;
  }

  async #welcome(player: Player, { period, loginTime, now }: Welcome): Promise<void> {
    const isNew = player.grownUntil === 0;
    let away: GameEvents['game:state']['away'];
    if (player.period !== period) {
      const end = isNew ? undefined : await this.#endBefore(player.userId, loginTime);
      player.leave(Math.min(end?.at ?? player.grownUntil, loginTime));
      if (!isNew) away = { from: player.grownUntil, to: loginTime, cause: end?.cause ?? '' };
      player.enter(period, loginTime);
    }
    player.grow(now);
    const { gainAmount } = player.tell();
    this.#push(player.userId, 'game:state', {
      spirit: player.spirit,
      spiritRate: player.rate,
      power: player.power,
      level: player.level,
      onlineSince: loginTime,
      grownUnseen: isNew ? 0 : gainAmount,
      ...(away === undefined ? {} : { away }),
    });
    const left = away === undefined ? undefined : player.returned();
    if (left !== undefined) this.#push(player.userId, ...left);
    this.#tellRank(player);
  }

  /** The logout that ended the period before this login. */
  async #endBefore(userId: number, loginTime: number): Promise<Logout | undefined> {
    const timeline = await this.#lingxi.presence.timeline(userId, { cursor: undefined, limit: TIMELINE });
    return timeline?.find(({ event, at }) => event === 'offline' && at <= loginTime);
  }

  #tick(): void {
    this.#slice += 1;
    this.#inBackground(this.#answerJoins());
    if (this.#players.size === 0) return;
    if (this.#slice % RANKING_SLICES === 0) this.#rank();
    // A new player gets the list within a second, without waiting for the next ranking.
    else if (this.#slice % SLICES === 0 && this.#unranked.size > 0) this.#rankNew();
    if (this.#slice % SAVING_SLICES === 0) this.#inBackground(this.#save());
    const turn = [...this.#players.values()].filter(
      ({ userId, period }) => period !== undefined && userId % SLICES === this.#slice % SLICES,
    );
    if (turn.length > 0) this.#inBackground(this.#look(turn));
  }

  /** Asks presence which of these players are still online, and lets their spirit grow. */
  async #look(players: readonly Player[]): Promise<void> {
    const turns = players.map(({ turn }) => turn);
    const now = this.#options.clock.now();
    const read = await this.#lingxi.presence.read(players.map(({ userId }) => userId)).catch(() => undefined);
    // Presence does not answer, so nobody can log out either. The next answer adds the growth.
    if (read === undefined) return;
    players.forEach((player, index) => {
      // The player came or went during the call to presence.
      if (player.turn === turns[index]) this.#see(player, read[index], now);
    });
  }

  #see(player: Player, seen: Seen | undefined, now: number): void {
    if (seen?.status === 'online' && seen.period === player.period) {
      player.grow(now);
      this.#live(player);
    } else if (seen?.status === 'offline') this.#leave(player, seen.logoutTime ?? player.grownUntil);
    // A new period: the game knows the end of the old one when the player joins.
    else if (seen?.status !== 'online') this.#leave(player, player.grownUntil);
  }

  #leave(player: Player, at: number): void {
    player.leave(at);
    this.#offline.add(player);
  }

  /** One second of a player who is online. It also passes without a connection. */
  #live(player: Player): void {
    const pushes = player.step(this.#options.random);
    if (!this.#lingxi.manager.isUserOnline(player.userId)) return;
    this.#push(player.userId, 'spirit:grow', player.tell());
    for (const push of pushes) this.#push(player.userId, ...push);
    if (this.#slice % RANKING_SLICES < SLICES) this.#tellRank(player);
  }

  #rank(): void {
    const ranking = [...this.#players.values()].sort((a, b) => b.spirit - a.spirit);
    this.#ranks = new Map(ranking.map((player, index) => [player, index + 1]));
    this.#unranked.clear();
    this.#top = ranking.slice(0, TOP).map(({ userId, username, spirit, power, level }, index) => ({
      rank: index + 1,
      userId,
      username,
      spirit,
      power,
      level,
      avatarUrl: '',
    }));
  }

  #rankNew(): void {
    const players = [...this.#unranked];
    this.#rank();
    for (const player of players) this.#tellRank(player);
  }

  #tellRank(player: Player): void {
    const rank = this.#ranks.get(player);
    if (rank === undefined) return;
    const timestamp = Math.floor(this.#options.clock.now() / 1000);
    this.#push(player.userId, 'leaderboard:update', {
      type: 'full_refresh',
      category: 'spirit',
      updateTime: timestamp,
      top10: this.#top,
      userRank: {
        rank,
        value: player.spirit,
        percent: Math.round((100 * rank) / this.#ranks.size),
      },
      timestamp,
    });
  }

  async #save(): Promise<void> {
    await this.#saved.write(this.#kept());
  }

  #kept(): readonly KeptPlayer[] {
    return [...this.#players.values()].map((player) => player.kept());
  }

  #inBackground(work: Promise<void>): void {
    work.catch((error: unknown) => logInternalError(this.#options.log, { where: 'background', error }));
  }
}

function isChinese(data: unknown): boolean {
  return typeof data === 'object' && data !== null && (data as { language?: unknown }).language === 'zh';
}
