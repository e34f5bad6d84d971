import { Connection } from './client.ts';
import { type Channel, type Environment, realEnvironment } from './environment.ts';
import { Listeners, safely } from './listeners.ts';
import type { AnyEvents, Client, ClientOptions, MessageInfo, SendOutcome, State } from './types.ts';

export interface SharedClientOptions extends ClientOptions {
  /** The user of the token. Only tabs with the same user and the same address share a connection. */
  readonly user: string | number;
}

/**
 * As `createClient`, but all tabs of a browser with the same user share one connection. The tab that holds a Web Lock owns the
 * socket. When that tab is closed or killed, another tab takes over.
 *
 * Without Web Locks or BroadcastChannel, or if the page may not use them, each tab has its own connection.
 */
export function createSharedClient<E extends object = AnyEvents>(options: SharedClientOptions): Client<E> {
  const client = new SharedConnection<E>(options, realEnvironment());
  client.connect();
  return client;
}

const DEFAULT_QUEUE = 64;

/** The notes that tabs send to each other. Ids are unique in the channel. */
type Note =
  /** A tab is back: the owner answers with its state. */
  | { readonly kind: 'hello' }
  /** The user opened a tab, or asks to connect again. The owner connects, and answers with its state. */
  | { readonly kind: 'connect' }
  /** This tab owns the connection from now on. */
  | { readonly kind: 'owner' }
  | { readonly kind: 'state'; readonly state: State }
  | { readonly kind: 'message'; readonly info: MessageInfo & { readonly data?: unknown } }
  | { readonly kind: 'send'; readonly id: string; readonly type: string; readonly data: unknown }
  | { readonly kind: 'outcome'; readonly id: string; readonly outcome: SendOutcome };

interface Asked {
  readonly note: Extract<Note, { readonly kind: 'send' }>;
  readonly settle: (outcome: SendOutcome) => void;
  /** Whether an owner may have received it. */
  isPosted: boolean;
}

/** One of the tabs that share a connection. */
export class SharedConnection<E extends object = AnyEvents> implements Client<E> {
  state: State = { status: 'closed', reason: 'new' };
  readonly #env: Environment;
  readonly #options: SharedClientOptions;
  readonly #name: string;
  readonly #failed: (error: unknown) => void;
  readonly #listeners: Listeners;
  readonly #watchers: Listeners;
  readonly #tab: number;
  #count = 0;
  readonly #asked = new Map<string, Asked>();
  /** The socket's client, if this tab is the owner. */
  #own: Connection<E> | undefined;
  #channel: Channel | undefined;
  #isOwnerKnown = false;
  #leave: (() => void) | undefined;
  #stopPage: (() => void) | undefined;

  constructor(options: SharedClientOptions, env: Environment) {
    this.#env = env;
    this.#options = options;
    this.#tab = env.random();
    this.#name = `lingxi.v1 ${new URL(options.url ?? '/ws', env.address).href} ${options.user}`;
    this.#failed = safely(options.onError ?? env.report);
    this.#listeners = new Listeners(this.#failed);
    this.#watchers = new Listeners(this.#failed);
    // Finds invalid options now, not only when this tab becomes the owner.
    this.#create();
    options.signal?.addEventListener('abort', () => this.#end({ status: 'closed', reason: 'aborted' }));
  }

  readonly subscribe: Client<E>['subscribe'] = (listener) => this.#watchers.add('', listener);

  readonly on: Client<E>['on'] = (type, listener, options) =>
    this.#listeners.add(type, listener, options?.signal);

  readonly send: Client<E>['send'] = (type, data) => {
    if (this.#own) return this.#own.send(type, data);
    return new Promise((settle) => {
      if (this.state.status === 'closed') return settle('closed');
      if (this.#asked.size >= (this.#options.queueLimit ?? DEFAULT_QUEUE)) return settle('queue-full');
      try {
        // As JSON, as on the wire: the channel itself would accept more than JSON can express.
        const plain: unknown = data === undefined ? undefined : JSON.parse(JSON.stringify(data) ?? 'null');
        this.#count += 1;
        const id = `${this.#tab}-${this.#count}`;
        const asked = { note: { kind: 'send', id, type, data: plain }, settle, isPosted: false } as const;
        this.#asked.set(id, asked);
        if (this.#isOwnerKnown) this.#ask();
      } catch {
        settle('invalid');
      }
    });
  };

  readonly logout: Client<E>['logout'] = () => this.send('logout');

  readonly connect = (): void => {
    if (this.#options.signal?.aborted) return this.#end({ status: 'closed', reason: 'aborted' });
    if (this.#own) this.#own.connect();
    else if (this.#leave) this.#post({ kind: 'connect' });
    else this.#join('start');
  };

  readonly close = (): void => this.#end({ status: 'closed', reason: 'closed' });

  #create(): Connection<E> {
    const { signal: _, ...options } = this.#options;
    return new Connection<E>(options, this.#env);
  }

  /** Joins the other tabs, or connects alone if tabs cannot share. */
  #join(reason?: string): void {
    const abort = new AbortController();
    this.#leave = () => abort.abort();
    this.#stopPage ??= this.#watchPage();
    if (reason !== undefined) this.#set({ status: 'connecting', reason });
    // A listener may have closed the client meanwhile.
    if (abort.signal.aborted) return;
    try {
      const tabs = this.#env.tabs;
      if (!tabs) return this.#becomeOwner();
      this.#channel = tabs.channel(this.#name);
      this.#channel.onmessage = ({ data }) => {
        try {
          if (!abort.signal.aborted) this.#hear(data as Note);
        } catch (error) {
          this.#failed(error);
        }
      };
      this.#post({ kind: reason === 'start' ? 'connect' : 'hello' });
      tabs.locks
        .request(this.#name, { signal: abort.signal }, () => this.#hold(abort.signal))
        .catch(() => {
          // Locks may be forbidden here, and only the request reports that.
          if (!abort.signal.aborted && !this.#own) this.#stayAlone();
        });
    } catch {
      this.#stayAlone();
    }
  }

  #stayAlone(): void {
    this.#channel?.close();
    this.#channel = undefined;
    this.#becomeOwner();
  }

  /** Owns the connection until this tab leaves. */
  #hold(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((release) => {
      signal.addEventListener('abort', () => release());
      this.#becomeOwner();
    });
  }

  #becomeOwner(): void {
    const { state } = this;
    const own = this.#create();
    this.#own = own;
    own.on('*', (_data: unknown, info: MessageInfo) => {
      if (this.#own !== own) return;
      this.#emit(info);
      this.#post({ kind: 'message', info });
    });
    own.subscribe((next) => {
      if (this.#own !== own) return;
      this.#set(next);
      this.#post({ kind: 'state', state: next });
    });
    this.#post({ kind: 'owner' });
    // If the server asked the previous owner to stay away for a time, the new owner waits too.
    if (state.status === 'closed') this.#post({ kind: 'state', state });
    else own.connect();
    for (const { note, settle, isPosted } of this.#takeAsked())
      if (isPosted) settle('unknown');
      else void own.send(note.type, note.data).then(settle);
  }

  #takeAsked(): readonly Asked[] {
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    return asked;
  }

  /** Handles a note of another tab, which may run another version of the page. */
  #hear(note: Note): void {
    if (this.#own) {
      if (note.kind === 'connect') this.#own.connect();
      if (note.kind === 'connect' || note.kind === 'hello') this.#post({ kind: 'state', state: this.state });
      else if (note.kind === 'send')
        void this.#own
          .send(note.type, note.data)
          .then((outcome) => this.#post({ kind: 'outcome', id: note.id, outcome }));
      return;
    }
    if (note.kind === 'owner') {
      for (const [id, { isPosted, settle }] of this.#asked)
        if (isPosted && this.#asked.delete(id)) settle('unknown');
      this.#ask();
    } else if (note.kind === 'state') {
      this.#set(note.state);
      this.#ask();
    } else if (note.kind === 'message') this.#emit(note.info);
    else if (note.kind === 'outcome') {
      this.#asked.get(note.id)?.settle(note.outcome);
      this.#asked.delete(note.id);
    }
  }

  /** Sends the owner the messages that it does not have yet. */
  #ask(): void {
    this.#isOwnerKnown = true;
    for (const asked of this.#asked.values()) {
      if (!asked.isPosted) this.#post(asked.note);
      asked.isPosted = true;
    }
  }

  #emit(info: MessageInfo & { readonly data?: unknown }): void {
    this.#listeners.emit(info.type, info.data, info);
    this.#listeners.emit('*', info.data, info);
  }

  #post(note: Note): void {
    try {
      this.#channel?.postMessage(note);
    } catch {
      // The channel is closed: this tab has left.
    }
  }

  #set(state: State): void {
    this.state = state;
    this.#watchers.emit('', state);
  }

  /** Leaves the other tabs; one of them gets the lock. */
  #withdraw(): void {
    const own = this.#own;
    this.#own = undefined;
    this.#isOwnerKnown = false;
    // Do this before the channel closes: the other tabs must not see that this one closes its socket.
    this.#channel?.close();
    this.#channel = undefined;
    own?.close();
    this.#leave?.();
    this.#leave = undefined;
    for (const { settle, isPosted } of this.#takeAsked()) settle(isPosted ? 'unknown' : 'closed');
  }

  #end(state: State): void {
    this.#withdraw();
    this.#stopPage?.();
    this.#stopPage = undefined;
    this.#set(state);
  }

  /** Registered before the listeners of the owner's application, so it runs first. */
  #watchPage(): () => void {
    const { listen } = this.#env;
    const stops = [
      listen('window', 'pagehide', () => {
        const { status } = this.state;
        this.#withdraw();
        if (status !== 'closed') this.#set({ status: 'paused', reason: 'page-hidden' });
      }),
      listen('window', 'pageshow', () => {
        if (this.state.status === 'paused') this.#join('page-shown');
        else if (!this.#leave) this.#join();
      }),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }
}
