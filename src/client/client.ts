import { BEARER_SUBPROTOCOL_PREFIX, SUBPROTOCOL } from '../protocol/envelope.ts';
import { mayReconnect } from '../protocol/may-reconnect.ts';
import type { Environment, WebSocketClass } from './environment.ts';
import { Link, type LinkEnd } from './link.ts';
import { Listeners, safely } from './listeners.ts';
import { expiryOf } from './token.ts';
import type {
  AnyEvents,
  Client,
  ClientOptions,
  Frame,
  MessageInfo,
  SendOutcome,
  State,
  TokenReason,
} from './types.ts';

/** Full jitter: the nth attempt in a row waits a random part of this time, doubled n times. */
const BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 30_000;
/** A connection that lived this long ends the row of failures. */
const STABLE_MS = 5_000;
/** Shortest time between the starts of two attempts, even if the network returns. */
const MIN_BETWEEN_ATTEMPTS_MS = 1_000;
/** The server may ask for a longer wait than the backoff, up to this time. */
const MAX_GOODBYE_MS = 300_000;
const TOKEN_MS = 10_000;
/** A token is renewed this long before it expires, or after three quarters of a short lifetime. */
const RENEW_BEFORE_MS = 120_000;
const RENEW_AGAIN_MS = 5_000;
const MAX_TIMER_MS = 2_147_483_647;
const SEED_BEAT_MS = 1_000;
const DEFAULT_QUEUE = 64;
/** Largest number of characters of all waiting messages. */
const MAX_QUEUED_TEXT = 1_048_576;
const EXPIRED = 4003;
/** The server refused in band, for a reason other than the token. */
const REFUSED_FOR_NOW = 4110;

interface Waiting {
  readonly text: string;
  readonly settle: (outcome: SendOutcome) => void;
}

/** `ws` and Bun end the text of an error like this if the server refused a handshake permanently. Others hide its status. */
const HTTP_REFUSAL = /: (40[139])$/;

/** A client that uses its platform only through `env`. It starts closed. */
export class Connection<E extends object = AnyEvents> implements Client<E> {
  state: State = { status: 'closed', reason: 'new' };
  readonly #env: Environment;
  readonly #options: ClientOptions;
  readonly #isSeed: boolean;
  readonly #url: string;
  readonly #socketClass: WebSocketClass;
  readonly #failed: (error: unknown) => void;
  readonly #listeners: Listeners;
  readonly #watchers: Listeners;
  readonly #queue: Waiting[] = [];
  #queuedText = 0;
  /** The present attempt or connection. */
  #link: Link | undefined;
  #cancelRetry: (() => void) | undefined;
  #leavePage: (() => void) | undefined;
  /** Failures in a row. */
  #failures = 0;
  #attemptedAt = Number.NEGATIVE_INFINITY;
  #openedAt = 0;
  /** The server asked the client to stay away until this time. */
  #notBefore = 0;
  #goodbyeMs = 0;
  #token: string | undefined;
  #tokenReason: TokenReason | undefined = 'start';
  /** The server's clock minus ours. */
  #clockOffset = 0;

  /** Throws if the options cannot work at all: no token, no WebSocket class, or an invalid address. */
  constructor(options: ClientOptions, env: Environment) {
    const { token, getToken, signal, onError } = options;
    const socketClass = options.WebSocket ?? env.WebSocket;
    if (!socketClass) throw new TypeError('This platform has no WebSocket: pass one, as that of "ws".');
    if (!token && !getToken) throw new TypeError('Pass a token or getToken.');
    const url = new URL(options.url ?? '/ws', env.address);
    // An `http` address becomes `ws`, `https` becomes `wss`.
    url.protocol = url.protocol.replace('http', 'ws');
    // A WebSocket address must not have a fragment.
    url.hash = '';
    if (!/^wss?:$/.test(url.protocol)) throw new TypeError(`Not the address of a WebSocket: ${url.href}`);
    this.#url = url.href;
    this.#env = env;
    this.#options = options;
    this.#socketClass = socketClass;
    this.#isSeed = options.protocol === 'seed';
    this.#failed = safely(onError ?? env.report);
    this.#listeners = new Listeners(this.#failed);
    this.#watchers = new Listeners(this.#failed);
    if (!getToken) {
      this.#token = token;
      this.#tokenReason = undefined;
    }
    signal?.addEventListener('abort', () => this.#finish('aborted'));
  }

  readonly subscribe: Client<E>['subscribe'] = (listener) => this.#watchers.add('', listener);

  readonly on: Client<E>['on'] = (type, listener, options) =>
    this.#listeners.add(type, listener, options?.signal);

  readonly send: Client<E>['send'] = (type, data) =>
    new Promise((settle) => {
      let text: string;
      try {
        text = JSON.stringify({ type, data });
      } catch {
        return settle('invalid');
      }
      if (this.state.status === 'closed') return settle('closed');
      const isFull = this.#queue.length >= (this.#options.queueLimit ?? DEFAULT_QUEUE);
      if (isFull || this.#queuedText + text.length > MAX_QUEUED_TEXT) return settle('queue-full');
      this.#queuedText += text.length;
      this.#queue.push({ text, settle });
      this.#flush();
    });

  readonly logout: Client<E>['logout'] = () => this.send('logout');

  readonly connect = (): void => {
    const { status, reason } = this.state;
    if (this.#options.signal?.aborted) return this.#finish('aborted');
    if (status === 'closed') {
      this.#failures = 0;
      this.#leavePage = this.#watchPage();
      this.#attempt('start');
    } else if (status === 'waiting' || status === 'paused') this.#attempt(reason);
  };

  readonly close = (): void => this.#finish('closed');

  #attempt(reason: string): void {
    this.#cancelRetry?.();
    this.#attemptedAt = this.#env.now();
    this.#goodbyeMs = 0;
    const link: Link = new Link(this.#env, {
      opened: () => this.#isSeed && this.#opened(link, 'connected', SEED_BEAT_MS),
      text: (text) => this.#receive(link, text),
      drain: () => this.#flush(),
      ended: (end) => this.#ended(end),
      failed: this.#failed,
    });
    this.#link = link;
    this.#set({ status: 'connecting', reason });
    // A listener may have closed the client meanwhile.
    if (this.#link !== link) return;
    const why = this.#tokenReason ?? (this.#isExpired() ? 'expired' : undefined);
    if (!why || !this.#options.getToken) return link.guard(() => this.#open(link));
    link.after('connect', TOKEN_MS, () => link.fail('no-token', 'getToken did not answer in time'));
    this.#fetchToken(link, why, (error) => link.fail('no-token', error));
  }

  #isExpired(): boolean {
    return expiryOf(this.#token ?? '') <= this.#serverNow();
  }

  #serverNow(): number {
    return this.#env.now() + this.#clockOffset;
  }

  /** Gets a token and opens the link with it, or renews the token of the open link. */
  #fetchToken(link: Link, reason: TokenReason, failed: (error: unknown) => void): void {
    // Inside the chain, so that an exception of getToken becomes a rejection too.
    Promise.resolve()
      .then(() => this.#options.getToken?.({ reason }))
      .then(
        (token) =>
          link.guard(() => {
            if (typeof token !== 'string' || !token) return failed('getToken gave no token');
            this.#token = token;
            // A ticket can be used only once.
            this.#tokenReason = this.#options.auth === 'ticket' ? 'start' : undefined;
            if (reason === 'renewal') link.sendNow(JSON.stringify({ type: 'token', data: { token } }));
            else this.#open(link);
          }),
        (error: unknown) => link.guard(() => failed(error)),
      )
      .catch(this.#failed);
  }

  #open(link: Link): void {
    const token = this.#token ?? '';
    const { auth } = this.#options;
    if (this.#isSeed || auth === 'ticket') {
      const url = new URL(this.#url);
      url.searchParams.set(auth === 'ticket' ? auth : 'token', token);
      link.open(this.#socketClass, url.href, { protocols: this.#isSeed ? [] : [SUBPROTOCOL] });
    } else if (auth === 'header') {
      const extra = { headers: { Authorization: `Bearer ${token}` } };
      link.open(this.#socketClass, this.#url, { protocols: [SUBPROTOCOL], extra });
    } else {
      const protocols = [SUBPROTOCOL, BEARER_SUBPROTOCOL_PREFIX + token];
      link.open(this.#socketClass, this.#url, { protocols });
    }
  }

  #opened(link: Link, reason: string, beatMs: number): void {
    this.#openedAt = this.#env.now();
    link.ready(beatMs, !this.#isSeed);
    if (this.#env.isHidden()) this.#showState();
    this.#set({ status: 'open', reason });
    this.#flush();
  }

  #receive(link: Link, text: string): void {
    const frame = parse(text);
    if (!frame) return;
    const { type, data, id } = frame;
    if (!this.#isSeed) this.#obey(link, frame);
    if (type !== 'pong' || this.#isSeed) {
      const info = frame as MessageInfo;
      this.#listeners.emit(type, data, info);
      this.#listeners.emit('*', data, info);
    }
    if (typeof id === 'string' && !this.#isSeed) link.acknowledge(id);
  }

  /** Handles the frames of the protocol itself. They may come from a newer server, so every field is checked. */
  #obey(link: Link, { type, data, timestamp }: Frame): void {
    const field = (name: string): unknown => (data as Record<string, unknown> | null | undefined)?.[name];
    if (type === 'welcome' && !link.isReady) {
      // The server cuts its time to seconds. So in doubt a token expires sooner.
      if (typeof timestamp === 'number') this.#clockOffset = (timestamp + 1) * 1000 - this.#env.now();
      this.#opened(
        link,
        field('resumed') === true ? 'resumed' : 'connected',
        beatOf(field('pingIntervalMs')),
      );
      this.#renewBefore(link, expiryOf(this.#token ?? ''));
    } else if (type === 'goodbye') {
      const wait = field('reconnectAfterMs');
      if (typeof wait === 'number') this.#goodbyeMs = Math.min(wait, MAX_GOODBYE_MS);
    } else if (type === 'token') {
      this.#renewBefore(link, Number(field('expiresAt') ?? Number.POSITIVE_INFINITY));
    } else if (type === 'error' && field('about') === 'token') this.#renewAgain(link);
  }

  #renewBefore(link: Link, expiresAt: number): void {
    const left = expiresAt - this.#serverNow();
    // This also stops the timer for a renewal that has just succeeded.
    link.cancel('renewal');
    if (Number.isFinite(left)) this.#renewAfter(link, left - Math.min(RENEW_BEFORE_MS, left / 4));
  }

  #renewAgain(link: Link): void {
    this.#renewAfter(link, RENEW_AGAIN_MS * (0.5 + this.#env.random()));
  }

  #renewAfter(link: Link, ms: number): void {
    if (!this.#options.getToken || !link.isReady) return;
    link.after('renewal', Math.min(Math.max(ms, BACKOFF_MS), MAX_TIMER_MS), () => {
      // If getToken never answers, the next attempt still comes.
      link.after('renewal', TOKEN_MS, () => this.#renewAgain(link));
      this.#fetchToken(link, 'renewal', () => this.#renewAgain(link));
    });
  }

  #ended({ code, reason, detail }: LinkEnd): void {
    const { getToken } = this.#options;
    const wasOpen = this.#link?.isReady === true;
    this.#link = undefined;
    const now = this.#env.now();
    if (wasOpen && now - this.#openedAt > STABLE_MS) this.#failures = 0;
    const status = wasOpen ? undefined : HTTP_REFUSAL.exec(detail ?? '')?.[1];
    const end = {
      reason: status ? 'refused' : reason,
      ...(code === undefined ? {} : { code }),
      ...(detail ? { detail } : {}),
    };
    const isExpired = code === EXPIRED || status === '401';
    const isForGood = status ?? (code !== undefined && !mayReconnect(code));
    if (isForGood && !(isExpired && getToken)) return this.#finish(end.reason, end);
    if (isExpired) this.#tokenReason = 'expired';
    else if (!wasOpen && code !== REFUSED_FOR_NOW) this.#tokenReason ??= 'refused';
    this.#notBefore = now + this.#goodbyeMs;
    const backoff = Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** this.#failures);
    this.#failures += 1;
    this.#retryAt(Math.round(Math.max(now + this.#env.random() * backoff, this.#notBefore)), end);
  }

  #retryAt(retryAt: number, end: Omit<State, 'status'>): void {
    this.#cancelRetry?.();
    const wait = Math.max(0, retryAt - this.#env.now());
    this.#cancelRetry = this.#env.after(wait, () => this.#attempt(end.reason));
    this.#set({ ...end, status: 'waiting', retryAt });
  }

  #flush(): void {
    for (let first = this.#queue[0]; first && this.#link?.send(first.text); first = this.#queue[0])
      this.#settle('sent');
  }

  #settle(outcome: SendOutcome): void {
    const first = this.#queue.shift();
    this.#queuedText -= first?.text.length ?? 0;
    first?.settle(outcome);
  }

  #finish(reason: string, end: Omit<State, 'status'> = { reason }): void {
    if (this.state.status === 'closed' && this.state.reason === reason) return;
    this.#stop();
    this.#leavePage?.();
    while (this.#queue.length > 0) this.#settle('closed');
    this.#set({ ...end, status: 'closed' });
  }

  #stop(): void {
    this.#cancelRetry?.();
    this.#link?.stop();
    this.#link = undefined;
  }

  #set(state: State): void {
    this.state = state;
    this.#watchers.emit('', state);
  }

  #watchPage(): () => void {
    const { listen, isHidden } = this.#env;
    const wake = (): void => this.#wake(false);
    const stops = [
      listen('window', 'online', () => this.#wake(true)),
      listen('window', 'pageshow', wake),
      listen('window', 'pagehide', () => {
        this.#stop();
        this.#set({ status: 'paused', reason: 'page-hidden' });
      }),
      listen('document', 'resume', wake),
      listen('document', 'visibilitychange', () => {
        this.#showState();
        if (!isHidden()) wake();
      }),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }

  /** Tells the service whether the page is visible. */
  #showState(): void {
    const value = this.#env.isHidden() ? 'background' : 'active';
    if (!this.#isSeed) this.#link?.sendNow(JSON.stringify({ type: 'state', data: { value } }));
  }

  /** The page, the machine or the network is back. */
  #wake(isNewNetwork: boolean): void {
    const { status, retryAt = 0 } = this.state;
    const next = this.#attemptedAt + MIN_BETWEEN_ATTEMPTS_MS;
    // An unstable network does not bypass the backoff.
    if (status === 'paused' || (isNewNetwork && next < this.#env.now())) this.#failures = 0;
    if (status === 'paused') this.#attempt('page-shown');
    else if (status === 'waiting') {
      const longest = Math.max(MIN_BETWEEN_ATTEMPTS_MS, this.#goodbyeMs);
      // The clock may have gone back since these times were set.
      const soonest = Math.min(Math.max(next, this.#notBefore), this.#env.now() + longest);
      if (soonest < retryAt) this.#retryAt(soonest, this.state);
    } else this.#link?.check(isNewNetwork);
  }
}

/** The interval between pings: that of the server, within limits. */
function beatOf(pingIntervalMs: unknown): number {
  return typeof pingIntervalMs === 'number' ? Math.min(Math.max(pingIntervalMs, 500), 60_000) : 3_000;
}

function parse(text: string): Frame | undefined {
  try {
    const frame = JSON.parse(text) as Frame | null;
    return typeof frame?.type === 'string' ? frame : undefined;
  } catch {
    return undefined;
  }
}
