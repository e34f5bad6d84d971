import type { Clock } from '../../lib/clock.ts';
import { sleep } from '../../lib/clock.ts';
import type { Result } from '../../lib/result.ts';
import { type Message, type OpenOptions, type ServerRefusal, SocketClient } from '../socket-client.ts';
import type { Answer, Api } from './api.ts';
import { expect, FinalMismatch, Mismatch } from './check.ts';
import type { Progress } from './progress.ts';

export type User = 'A' | 'B';

/** The data of `welcome`. */
export interface Welcome {
  readonly period: string;
  readonly resumed: boolean;
  readonly heartbeatTimeoutMs: number;
  readonly shown: string;
}

interface ServerUnderTestOptions {
  readonly api: Api;
  readonly wsUrl: string;
  readonly clock: Clock;
  readonly progress: Progress;
  readonly serviceKey: string;
  readonly ids: Readonly<Record<User, number>>;
  readonly tokens: Readonly<Record<User, string>>;
}

/** An effect that the server causes by itself must be visible within this time. */
export const SOON_MS = 2000;
const POLL_MS = 25;

/** The server under test, with two test users and the facts learned so far. */
export class ServerUnderTest {
  readonly api: Api;
  readonly wsUrl: string;
  readonly clock: Clock;
  readonly progress: Progress;
  readonly serviceKey: string;
  readonly ids: Readonly<Record<User, number>>;
  readonly tokens: Readonly<Record<User, string>>;
  /** From the server's `welcome`. */
  heartbeatTimeoutMs = 10_000;
  /** False after a logged-out user had no record (`LINGXI_LAST_SEEN_TTL_S=0`). */
  keepsRecords = true;
  readonly #open = new Set<SocketClient>();

  constructor(options: ServerUnderTestOptions) {
    this.api = options.api;
    this.wsUrl = options.wsUrl;
    this.clock = options.clock;
    this.progress = options.progress;
    this.serviceKey = options.serviceKey;
    this.ids = options.ids;
    this.tokens = options.tokens;
  }

  /** Tries to connect as `user`. `options` replaces the defaults of a plain `lingxi.v1` client. */
  async tryConnect(
    user: User,
    options: Partial<Pick<OpenOptions, 'protocol' | 'answersPings'>> = {},
  ): Promise<Result<SocketClient, ServerRefusal>> {
    const opened = await SocketClient.open({
      url: this.wsUrl,
      clock: this.clock,
      token: this.tokens[user],
      protocol: 'lingxi.v1',
      ...options,
    });
    if (!opened.ok) return opened;
    const client = opened.value;
    this.#open.add(client);
    void client.closed.then(() => this.#open.delete(client));
    return opened;
  }

  /** Connects as `user`. A socket that closed a moment ago may still count, so it retries after one conflict. */
  async connect(
    user: User,
    options: Partial<Pick<OpenOptions, 'protocol' | 'answersPings'>> = {},
  ): Promise<SocketClient> {
    let opened = await this.tryConnect(user, options);
    for (let tries = 0; tries < 4 && !opened.ok && opened.error.status === 409; tries += 1) {
      await sleep(this.clock, SOON_MS / 4);
      opened = await this.tryConnect(user, options);
    }
    if (!opened.ok) throw connectFailure(opened.error, this.ids[user]);
    return opened.value;
  }

  async welcomeOf(client: SocketClient): Promise<Welcome> {
    const first = await client.next(() => true, SOON_MS);
    expect(first !== undefined, 'no first frame within 2 s');
    expect(first.type === 'welcome', `first frame is ${show(first)}`);
    const data = record(first.data);
    const { period, resumed, heartbeatTimeoutMs, connectionId, epoch } = data;
    const shown = `welcome ${JSON.stringify(data)}`;
    expect(typeof period === 'string' && /^\d+$/.test(period), `period: ${shown}`);
    expect(typeof epoch === 'string' && /^\d+$/.test(epoch), `epoch: ${shown}`);
    expect(typeof resumed === 'boolean' && typeof connectionId === 'string', shown);
    expect(typeof heartbeatTimeoutMs === 'number' && heartbeatTimeoutMs > 0, shown);
    this.heartbeatTimeoutMs = heartbeatTimeoutMs;
    return { period, resumed, heartbeatTimeoutMs, shown };
  }

  /** Sends a ping and waits for its pong. This proves that the connection lives. */
  async expectAlive(client: SocketClient): Promise<void> {
    const timestamp = this.clock.now();
    client.ping(timestamp);
    const pong = await client.next(({ type }) => type === 'pong', SOON_MS);
    expect(pong !== undefined, 'no pong within 2 s');
    expect(record(pong.data)['timestamp'] === timestamp, `pong to ${timestamp}: ${show(pong)}`);
  }

  detail(user: User): Promise<Answer> {
    return this.api.get(`/api/online/player/${this.ids[user]}`, { bearer: this.serviceKey });
  }

  /** Waits until `user` is offline, and returns the detail at that time. */
  async untilOffline(user: User, withinMs = SOON_MS): Promise<Answer> {
    const deadline = this.clock.monotonic() + withinMs;
    for (;;) {
      const answer = await this.detail(user);
      if (answer.status === 404) this.keepsRecords = false;
      if (answer.status === 404 || answer.body['status'] === 'offline') return answer;
      expect(this.clock.monotonic() < deadline, `still not offline after ${withinMs} ms: ${answer.seen}`);
      await sleep(this.clock, POLL_MS);
    }
  }

  logout(user: User): Promise<Answer> {
    const body = { playerId: String(this.ids[user]) };
    return this.api.post('/api/online/logout', { bearer: this.serviceKey, body });
  }

  /** Leaves nobody online and no socket open. */
  async cleanUp(): Promise<void> {
    const closing = [...this.#open].map((client) => {
      void client.close();
      return client.closedWithin(SOON_MS);
    });
    await Promise.all(closing);
    await this.logout('A');
    await this.logout('B');
  }
}

export function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

export function show(message: Message | undefined): string {
  return message === undefined ? 'nothing' : JSON.stringify(message);
}

function connectFailure(refusal: ServerRefusal, id: number): Mismatch {
  if (refusal.code === 'unknown-user') {
    return new FinalMismatch(`user ${id} does not exist: pass --users A,B with two ids of the users table`);
  }
  const { status, code, sentence } = refusal;
  if (status !== 401) return new Mismatch(`refused ${status} ${code}`);
  // Every other check would fail for the same reason.
  return new FinalMismatch(
    `refused ${status} ${code}: ${sentence ?? ''} The tokens are signed with the secret, issuer and audience of this folder: run this command in the folder of the server, or set its JWT_SECRET here`,
  );
}
