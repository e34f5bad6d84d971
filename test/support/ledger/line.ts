import { WebSocket } from 'ws';
import type { Beat, UserFacts } from './facts.ts';
import type { SiteNode } from './site.ts';
import type { NodeLife } from './world.ts';

/** A frozen node answers no handshake: after this time the client gives up. */
const HANDSHAKE_TIMEOUT_MS = 4_000;
const WELCOME_TIMEOUT_MS = 2_000;
const BEAT_MS = 400;
/** After a freeze, a node reads everything at once, and the number of messages a second is limited. */
const MAX_UNANSWERED = 12;

interface Welcome {
  readonly period: number;
  readonly epoch: number;
  readonly resumed: boolean;
}

/** One socket from the view of its client. */
export class Line {
  readonly life: NodeLife;
  readonly from: number;
  readonly welcome: Welcome | undefined;
  readonly closed: Promise<number>;
  code: number | undefined;
  readonly #socket: WebSocket;
  readonly #facts: UserFacts;
  readonly #speaksV1: boolean;
  readonly #waiting = new Map<number, Beat>();
  #timer: NodeJS.Timeout | undefined;
  #provenAt: number;
  #silent = false;
  #byClient = false;

  constructor(options: {
    readonly socket: WebSocket;
    readonly facts: UserFacts;
    readonly life: NodeLife;
    readonly from: number;
    readonly welcome: Welcome | undefined;
    readonly speaksV1: boolean;
  }) {
    this.#socket = options.socket;
    this.#facts = options.facts;
    this.#speaksV1 = options.speaksV1;
    this.life = options.life;
    this.from = options.from;
    this.welcome = options.welcome;
    this.#provenAt = options.from;
    this.closed = new Promise((resolve) => {
      this.#socket.once('close', (code) => resolve(this.#ended(code)));
      if (this.#socket.readyState === WebSocket.CLOSED) resolve(this.#ended(1006));
    });
    this.#socket.on('ping', (data: Buffer) => this.#pinged(data));
    this.#socket.on('pong', (data: Buffer) => this.#heard(Number(String(data))));
    this.#socket.on('message', (data: Buffer) => this.#message(String(data)));
    this.#timer = setInterval(() => this.beat(), BEAT_MS);
    if (this.code !== undefined) clearInterval(this.#timer);
  }

  get isOpen(): boolean {
    return this.code === undefined && this.#socket.readyState === WebSocket.OPEN;
  }

  /** How long the oldest unanswered heartbeat has waited. */
  get unansweredMs(): number {
    const [oldest] = this.#waiting.values();
    return oldest === undefined ? 0 : Date.now() - oldest.from;
  }

  /** A heartbeat with a confirmation: `lingxi.v1` has a pong, a client without `lingxi.v1` uses a protocol ping. */
  beat(): void {
    if (!this.isOpen || this.#silent || this.#waiting.size >= MAX_UNANSWERED) return;
    const from = Date.now();
    this.#expect(from);
    this.#socket.send(JSON.stringify({ type: 'ping', timestamp: from }));
    // The node reads in order: if it answers this one, it has read the heartbeat before it.
    if (!this.#speaksV1) this.#socket.ping(String(from));
  }

  /** From now on this client sends nothing, not even a protocol pong. */
  silence(): void {
    this.#silent = true;
    clearInterval(this.#timer);
  }

  /** The logout of this dialect. Like every message it is a proof of life too. */
  logOut(): void {
    if (!this.isOpen) return;
    this.#said();
    this.#socket.send(JSON.stringify({ type: 'logout' }));
  }

  close(): void {
    this.silence();
    this.#byClient = true;
    this.#said();
    this.#socket.close(1000);
  }

  terminate(): void {
    this.silence();
    this.#byClient = true;
    this.#socket.terminate();
  }

  #expect(from: number): void {
    const beat: Beat = { via: 'socket', life: this.life, from, to: undefined };
    this.#facts.beats.push(beat);
    this.#waiting.set(from, beat);
  }

  #heard(stamp: number): void {
    const beat = this.#waiting.get(stamp);
    if (beat === undefined) return;
    this.#waiting.delete(stamp);
    beat.to = Date.now();
    this.#provenAt = Math.max(this.#provenAt, beat.from);
  }

  /** May be a proof of life, but has no answer. */
  #said(): void {
    this.#facts.beats.push({ via: 'socket', life: this.life, from: Date.now(), to: undefined });
  }

  #pinged(data: Buffer): void {
    if (this.#silent || !this.isOpen) return;
    this.#said();
    this.#socket.pong(data);
  }

  #message(text: string): void {
    const message = JSON.parse(text) as { type: string; data?: { timestamp?: number } };
    if (message.type === 'pong') this.#heard(message.data?.timestamp ?? 0);
  }

  #ended(code: number): number {
    if (this.code !== undefined) return this.code;
    clearInterval(this.#timer);
    this.code = code;
    this.#facts.closings.push({
      ...{ life: this.life, lineFrom: this.from, at: Date.now(), code },
      provenAt: this.#provenAt,
      byClient: this.#byClient,
    });
    return code;
  }
}

/** Tries to connect, and records what is known about the outcome. */
export async function dial(
  node: SiteNode,
  client: { readonly facts: UserFacts; readonly token: string; readonly speaksV1: boolean },
): Promise<Line | undefined> {
  const { facts, speaksV1 } = client;
  const from = Date.now();
  const via = speaksV1 ? 'v1' : 'seed';
  let { life } = node;
  const socket = new WebSocket(node.gateway.wsUrl, speaksV1 ? ['lingxi.v1'] : [], {
    headers: { Authorization: `Bearer ${client.token}` },
    autoPong: false,
    perMessageDeflate: false,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  });
  socket.on('error', () => undefined);
  const answer = await new Promise<{ open: boolean; status: number; code: string; welcome?: Welcome }>(
    (resolve) => {
      let timer: NodeJS.Timeout | undefined;
      const done = (
        open: boolean,
        told: { status?: number; code?: string; welcome?: Welcome } = {},
      ): void => {
        clearTimeout(timer);
        resolve({ open, status: 0, code: '', ...told });
      };
      socket.once('open', () => {
        life = node.life;
        if (speaksV1) timer = setTimeout(() => done(false), WELCOME_TIMEOUT_MS);
        else done(true);
      });
      socket.once('message', (data: Buffer) => {
        if (speaksV1) done(true, { welcome: welcomeIn(String(data)) });
      });
      socket.once('close', () => done(false));
      socket.once('unexpected-response', (_request, response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.once('end', () => done(false, { status: response.statusCode ?? 0, code: codeIn(text) }));
      });
    },
  );
  const { welcome } = answer;
  // 409 leaves nothing behind. 503 may come after a step whose answer was lost.
  const outcome = answer.open ? 'in' : answer.status === 409 ? 'refused' : 'unknown';
  facts.logins.push({
    ...{ via, life, from, to: Date.now(), outcome, welcome, loginTime: undefined },
    code: answer.open ? undefined : `${answer.status} ${answer.code}`,
  });
  if (answer.open) return new Line({ socket, facts, life, from, welcome, speaksV1 });
  socket.terminate();
  return undefined;
}

function welcomeIn(text: string): Welcome {
  const { type, data } = JSON.parse(text) as { type: string; data: Record<string, unknown> };
  if (type !== 'welcome') throw new Error(`the first frame is no welcome: ${text}`);
  return {
    period: Number(data['period']),
    epoch: Number(data['epoch']),
    resumed: data['resumed'] === true,
  };
}

function codeIn(text: string): string {
  try {
    return String((JSON.parse(text) as { code?: unknown }).code);
  } catch {
    return text.slice(0, 60);
  }
}
