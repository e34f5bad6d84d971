import { sleep } from './ports.ts';

const REQUEST_PAUSE_MS = 50;
const STREAM_RETRY_MS = 200;

export interface Caller {
  readonly url: string;
  readonly apiKey: string;
}

/** HTTP requests, one after the other without a pause, and a stream of events that is reopened when it ends. */
export class ProxiedTraffic {
  /** Requests with the answer 200. */
  answered = 0;
  /** Every other answer, and requests without an answer. */
  readonly trouble: string[] = [];
  /** Users who came online according to the stream. */
  readonly heard = new Set<number>();
  /** How often the stream was opened. */
  streams = 0;
  readonly #caller: Caller;
  readonly #ended = new AbortController();
  readonly #done: Promise<unknown>;

  /** Only HTTP keeps `user` online. */
  constructor(caller: Caller, user: number) {
    this.#caller = caller;
    this.#done = Promise.all([this.#ask(user), this.#listen()]);
  }

  async stop(): Promise<void> {
    this.#ended.abort();
    await this.#done;
  }

  async #ask(user: number): Promise<void> {
    const body = JSON.stringify({ playerId: user });
    const requests = [
      ['POST', '/api/online/login', body],
      ['GET', '/ws/stats', undefined],
      ['POST', '/api/online/heartbeat', body],
      ['GET', `/api/online/player/${user}`, undefined],
    ] as const;
    for (let next = 0; !this.#ended.signal.aborted; next = (next + 1) % requests.length) {
      const [method, path, content] = requests[next] ?? requests[0];
      await this.#request(method, path, content);
      await sleep(REQUEST_PAUSE_MS);
    }
  }

  async #request(method: string, path: string, body: string | undefined): Promise<void> {
    try {
      const response = await fetch(`${this.#caller.url}${path}`, {
        method,
        headers: { authorization: `Bearer ${this.#caller.apiKey}` },
        ...(body === undefined ? {} : { body }),
      });
      const text = await response.text();
      if (response.status === 200) this.answered += 1;
      else this.trouble.push(`${method} ${path}: ${response.status} ${text.slice(0, 100)}`);
    } catch (error) {
      this.trouble.push(`${method} ${path}: ${String(error)}`);
    }
  }

  async #listen(): Promise<void> {
    let cursor = '';
    while (!this.#ended.signal.aborted) {
      try {
        cursor = await this.#stream(cursor);
      } catch (error) {
        // A stream ends with its node, and is reopened at the same place.
        if (error instanceof Refused) this.trouble.push(error.message);
      }
      await sleep(STREAM_RETRY_MS);
    }
  }

  async #stream(from: string): Promise<string> {
    const response = await fetch(`${this.#caller.url}/api/online/events`, {
      signal: this.#ended.signal,
      headers: {
        authorization: `Bearer ${this.#caller.apiKey}`,
        accept: 'text/event-stream',
        ...(from === '' ? {} : { 'last-event-id': from }),
      },
    });
    if (response.status !== 200 || response.body === null) throw new Refused(`events: ${response.status}`);
    this.streams += 1;
    let cursor = from;
    let text = '';
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) {
        if (line.startsWith('id:')) cursor = line.slice(3).trim();
        if (line.startsWith('data:')) this.#hear(line.slice(5));
      }
    }
    return cursor;
  }

  #hear(data: string): void {
    const { type, userId } = JSON.parse(data) as { type: string; userId: number };
    if (type === 'online') this.heard.add(userId);
  }
}

class Refused extends Error {}
