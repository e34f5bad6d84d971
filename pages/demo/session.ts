import { createClient } from '../../src/client/index.ts';
import type { Client, State } from '../../src/client/types.ts';
import type { GameAction, GameEvents } from '../../src/game/events.ts';
import { language } from '../shared/language.ts';
import { Value } from '../shared/value.ts';
import { ARRIVALS } from './arrivals.ts';
import { type Answer, ask } from './ask.ts';
import { heartSocket } from './heart-socket.ts';
import { closedSentence, openSentence, problemText } from './sentences.ts';
import { rememberUser, type User } from './user.ts';
import {
  FIRST,
  hasSocket,
  type Known,
  knownOf,
  type Line,
  type LivingScene,
  livingScene,
  type Place,
  type View,
} from './view.ts';
import { clock, logoutText, reasonText, seconds, type Text, text } from './words.ts';

/** Largest number of entries in each list of the page. */
const LINES = 40;
const POLL_MS = 1_000;
/** The page reconnects by itself after this time, so that every reader sees the return. */
const CLOSED_FOR_MS = 5_000;
const LOGGED_OUT_FOR_MS = 6_000;
/** Growth arrives each second. After a longer silence the page shows how much it missed. */
const UNSEEN_MS = 2_500;
/** Length in seconds of the strip with the user's states. */
const STRIP = 60;

/** One user who plays on this page: the connection, its messages, and the server's data. */
export class Session {
  readonly view = new Value<View>(FIRST);
  readonly user: User;
  #client: Client<GameEvents> | undefined;
  #token: string | undefined;
  #isMuted = false;
  #isServerGone = false;
  #isPolling = false;
  /** This page opens its first connection, or lost the last one to a newer one. */
  #isOutside = true;
  /** Another connection of the user was open when this page asked for its own. */
  #takesOver = false;
  /** Time of the last message about spirit growth. */
  #grownAt = 0;
  #lines = 0;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(user: User) {
    this.user = user;
    rememberUser(user);
    this.#play('lingxi.v1');
    this.#timer = setInterval(() => void this.#poll(), POLL_MS);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#client?.close();
    rememberUser(undefined);
  }

  readonly act = (type: GameAction): void => void this.#client?.send(type, { language: language.now });

  /** A page cannot stop its browser from answering pings. But a page of the Go game sends its own heartbeat. */
  readonly stopHeart = (): void => {
    this.#set({ scene: { name: 'silent' } });
    this.#say(
      text(
        'You stopped your heartbeat. (A browser answers the server’s pings by itself, so the page connects again as a page of the Go game does: such a page must send its own heartbeat.)',
        '你停止了心跳。（浏览器会自动回应服务器的 ping，所以页面改用 Go 游戏页面的方式重新连接，由页面自己发送心跳。）',
      ),
      'warn',
    );
    this.#play('seed');
  };

  readonly closeSocket = (): void => {
    this.#set({ scene: { name: 'closed', returnAt: Date.now() + CLOSED_FOR_MS, isLoggedOut: false } });
    this.#client?.close();
    this.#say(
      text(
        'You closed the socket. You are still online: the server waits for the heartbeat timeout before it logs anybody out.',
        '你关闭了连接。你仍然在线：服务器会等到心跳超时才让人下线。',
      ),
      'warn',
    );
  };

  readonly stayAway = (): void => {
    const { scene } = this.view.now;
    if (scene.name === 'closed') this.#set({ scene: { name: 'closed', isLoggedOut: scene.isLoggedOut } });
  };

  readonly comeBack = (): void => {
    this.#isMuted = false;
    const { scene, known } = this.view.now;
    const before = livingScene(scene);
    const playing = { name: 'playing' } as const;
    this.#set({ scene: scene.name === 'killed' ? { name: 'killed', before: playing } : playing });
    if (this.#isOutside) this.#takesOver = hasSocket(known);
    if (before.name !== 'playing') this.#play('lingxi.v1');
    else this.#client?.connect();
  };

  readonly killNode = async (): Promise<void> => {
    const answer = await ask('dev/kill', { method: 'POST', language: language.now });
    if (answer.kind === 'ok') {
      const { scene } = this.view.now;
      // A page that stays away does not reconnect to a dead node: the reader decides when.
      const before =
        scene.name === 'closed'
          ? ({ name: 'closed', isLoggedOut: scene.isLoggedOut } as const)
          : livingScene(scene);
      this.#set({ scene: { name: 'killed', before } });
      this.#say(
        text(
          'You killed the node, as a crash would: it said no goodbye and logged nobody out. Who is online has been in SQL since the login. Start the node again as you started it (npm start).',
          '你杀死了节点，如同崩溃：没有告别，也没有让任何人下线。谁在线，从登录起就记在 SQL 里。请按原来的方式重新启动节点（npm start）。',
        ),
        'bad',
      );
    } else this.#say(problemText(answer), 'bad');
  };

  #play(protocol: 'lingxi.v1' | 'seed'): void {
    const isSilent = protocol === 'seed';
    this.#client?.close();
    this.#isMuted = isSilent;
    const client = createClient<GameEvents>({
      url: new URL('ws', document.baseURI).href,
      protocol,
      getToken: () => this.#fetchToken(),
      WebSocket: heartSocket(
        () => this.#set({ beatAt: Date.now() }),
        () => this.#isMuted,
      ),
    });
    this.#client = client;
    client.subscribe((state) => this.#client === client && this.#changed(state));
    client.on('welcome', ({ heartbeatTimeoutMs, node }) =>
      this.#set({ timeoutMs: heartbeatTimeoutMs, node }),
    );
    client.on('error', ({ about, type }) => {
      if (about === 'message' && type === 'game:join')
        this.#say(
          text(
            'This gateway runs no demo game: another program embeds it. The connection works all the same.',
            '这个网关没有运行演示游戏（由其他程序嵌入），但连接正常。',
          ),
          'warn',
        );
    });
    this.#listen(client);
  }

  #listen(client: Client<GameEvents>): void {
    hear(client, 'game:state', (state) => this.#arrived(state));
    hear(client, 'game:refused', ({ reason }) => this.#refused(client, reason));
    hear(client, 'spirit:grow', (spirit) => {
      this.#grownAt = Date.now();
      this.#set({ spirit });
    });
    hear(client, 'leaderboard:update', (board) => this.#set({ board }));
    hear(client, 'dungeon:event', (event) =>
      this.#set({
        dungeon: [event, ...(event.eventType === 'start' ? [] : this.view.now.dungeon)].slice(0, LINES),
      }),
    );
    hear(client, 'exploration:event', (event) => {
      this.#set({ exploration: event });
      if (event.eventType !== 'progress')
        this.#set({
          finds: [event, ...(event.eventType === 'start' ? [] : this.view.now.finds)].slice(0, LINES),
        });
    });
  }

  async #fetchToken(): Promise<string> {
    const { id, name } = this.user;
    const query = new URLSearchParams({ userId: String(id), ...(name === '' ? {} : { name }) });
    const answer = await ask(`dev/token?${query.toString()}`, { language: language.now });
    if (answer.kind !== 'ok') throw new Error(problemText(answer)[language.now]);
    this.#token = String(answer.body['token']);
    if (this.#isOutside) {
      const player = await ask(`api/online/player/${id}`, { token: this.#token, language: language.now });
      this.#takesOver = hasSocket(knownOf(player));
    }
    return this.#token;
  }

  #changed(connection: State): void {
    const before = this.view.now.connection;
    this.#set({ connection });
    const { scene } = this.view.now;
    switch (connection.status) {
      case 'open':
        this.#set({ beatAt: Date.now() });
        this.act('game:join');
        if (scene.name === 'killed') this.#set({ scene: scene.before });
        this.#say(
          ...openSentence(connection, {
            scene,
            takesOver: this.#takesOver,
            timeoutMs: this.view.now.timeoutMs,
          }),
        );
        this.#isOutside = false;
        this.#takesOver = false;
        return;
      case 'waiting':
        if (scene.name === 'silent' && connection.code === 4100) return this.#loggedOut();
        if (before.status === 'open' || before.reason !== connection.reason)
          this.#say(
            text(
              `The connection ended: ${reasonText(connection.reason).en}. The page tries again by itself.`,
              `连接结束：${reasonText(connection.reason).zh}。页面会自动重试。`,
            ),
            'warn',
          );
        return;
      case 'closed':
        if (connection.code === undefined) return;
        this.#isOutside = connection.code === 4001;
        return this.#say(...closedSentence(connection));
      case 'connecting':
      case 'paused':
    }
  }

  /** The server closed the silent page's connection. The page stays away for a while, so that the gap is visible. */
  #loggedOut(): void {
    this.#client?.close();
    this.#set({ scene: { name: 'closed', returnAt: Date.now() + LOGGED_OUT_FOR_MS, isLoggedOut: true } });
    this.#say(
      text(
        `No heartbeat for ${seconds(this.view.now.timeoutMs)} s: the server closed the socket (4100) and logged you out. Spirit no longer grows.`,
        `${seconds(this.view.now.timeoutMs)} 秒没有心跳：服务器关闭了连接（4100）并让你下线。灵力停止增长。`,
      ),
      'bad',
    );
  }

  #arrived(state: GameEvents['game:state']): void {
    this.#set({ state });
    const { away, grownUnseen } = state;
    if (away !== undefined) {
      const gap = seconds(away.to - away.from);
      this.#say(
        text(
          `Away for ${gap} s, nothing was credited. Why: ${logoutText(away.cause).en}.`,
          `离开了 ${gap} 秒，没有计入任何灵力。原因：${logoutText(away.cause).zh}。`,
        ),
        'warn',
      );
    } else if (grownUnseen > 0 && this.#grownAt > 0 && Date.now() - this.#grownAt > UNSEEN_MS)
      this.#say(
        text(
          `While nothing reached this page you stayed online: ${grownUnseen.toFixed(1)} spirit grew meanwhile.`,
          `在本页收不到消息期间你仍然在线：灵力增长了 ${grownUnseen.toFixed(1)}。`,
        ),
      );
  }

  #refused(client: Client<GameEvents>, reason: string): void {
    if (reason === 'full')
      return this.#say(text('The demo game has no place left.', '演示游戏人数已满。'), 'bad');
    this.#say(
      text('The game cannot ask who is online, and tries again.', '游戏暂时无法查询在线状态，正在重试。'),
      'warn',
    );
    setTimeout(() => {
      if (this.#client === client && client.state.status === 'open') this.act('game:join');
    }, 3_000);
  }

  /** Asks the server once a second for its data. */
  async #poll(): Promise<void> {
    this.#returnInTime();
    if (this.#isPolling || document.hidden) return;
    this.#isPolling = true;
    try {
      const token = this.#token;
      if (token === undefined) return;
      const asked = { token, language: language.now };
      const [player, timeline] = await Promise.all([
        ask(`api/online/player/${this.user.id}`, asked),
        ask(`dev/timeline/${this.user.id}`, asked),
      ]);
      this.#learn(player);
      if (timeline.kind === 'ok') this.#follow(timeline.body);
    } finally {
      this.#isPolling = false;
    }
  }

  #learn(player: Answer): void {
    const { known: before, strip, connection } = this.view.now;
    const known = knownOf(player);
    const problem = known === undefined ? problemText(player) : undefined;
    const place = known === undefined ? 'unknown' : placeOf(known);
    this.#set({ known: known ?? before, problem, strip: [...strip, place].slice(-STRIP) });
    const isGone = player.kind === 'silent';
    // The client would notice by itself, but only after up to 30 s.
    if (this.#isServerGone && !isGone && connection.status === 'waiting') this.#client?.connect();
    this.#isServerGone = isGone;
    const { scene } = this.view.now;
    if (!isGone && scene.name === 'killed' && scene.before.name === 'closed') this.#backWithout(scene.before);
    if (before?.status === 'online' && known?.status === 'offline' && known.logoutTime !== undefined)
      this.#say(
        text(
          `Settled: the logout time ${clock(known.logoutTime)} goes into SQL, once. Back ends credit up to it and not beyond.`,
          `已结算：登出时间 ${clock(known.logoutTime)} 写入 SQL，且只写一次。后端只计到这一刻为止。`,
        ),
      );
  }

  /** The node is back, and this page stays away. */
  #backWithout(scene: LivingScene): void {
    this.#set({ scene });
    this.#say(
      text(
        'The node is back, and this page has no connection. If you were online and stay away, the server logs you out after its timeout.',
        '节点恢复了，而本页没有连接。如果你原本在线且不回来，超时后服务器会让你下线。',
      ),
      'warn',
    );
  }

  #follow(body: Readonly<Record<string, unknown>>): void {
    const { entries, settlementsPending } = body;
    this.#set({
      timeline: Array.isArray(entries) ? (entries as View['timeline']) : [],
      settlementsPending: Number(settlementsPending),
    });
  }

  #returnInTime(): void {
    const { scene } = this.view.now;
    if (scene.name !== 'closed' || scene.returnAt === undefined || Date.now() < scene.returnAt) return;
    this.comeBack();
  }

  #say(said: Text, tone?: Line['tone']): void {
    this.#lines += 1;
    const line = { key: this.#lines, at: Date.now(), text: said, ...(tone === undefined ? {} : { tone }) };
    this.#set({ news: [line, ...this.view.now.news].slice(0, LINES) });
  }

  #set(change: Partial<View>): void {
    this.view.set({ ...this.view.now, ...change });
  }
}

/** Forwards the messages that have the shape of their type, and ignores the others. */
function hear<Type extends keyof GameEvents>(
  client: Client<GameEvents>,
  type: Type,
  listener: (data: GameEvents[Type]) => void,
): void {
  client.on(type, (data: unknown) => {
    if (ARRIVALS[type](data)) listener(data);
  });
}

function placeOf(known: Known): Place {
  if (known.status !== 'online') return 'offline';
  return hasSocket(known) ? 'online' : 'lingering';
}
