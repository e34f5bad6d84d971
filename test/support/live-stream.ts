import type { LiveCounts } from '../../src/overview/api.ts';

/** An open stream of `GET /api/dashboard/live`. */
export interface LiveStream {
  readonly headers: Headers;
  /** The next event that has not been read. Rejects if the stream ends first. */
  next(): Promise<LiveCounts>;
  /** The next event that `match` accepts. */
  until(match: (counts: LiveCounts) => boolean): Promise<LiveCounts>;
  /** Number of comment lines so far. */
  comments(): number;
  /** Resolves when the server has ended it. */
  readonly ended: Promise<void>;
  stop(): void;
}

/** Rejects with the status if the server refuses. */
export async function openLive(url: string, key: string): Promise<LiveStream> {
  const abort = new AbortController();
  const response = await fetch(`${url}/api/dashboard/live`, {
    headers: { authorization: `Bearer ${key}` },
    signal: abort.signal,
  });
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel();
    throw new Error(`the live stream answered ${response.status}`);
  }
  const events: LiveCounts[] = [];
  const waiting: (() => void)[] = [];
  let comments = 0;
  let isOver = false;
  const wake = (): void => {
    for (const go of waiting.splice(0)) go();
  };
  const take = (frame: string): void => {
    for (const line of frame.split('\n')) {
      if (line.startsWith(':')) comments += 1;
      if (line.startsWith('data: ')) events.push(JSON.parse(line.slice('data: '.length)) as LiveCounts);
    }
  };
  const read = async (body: AsyncIterable<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    let text = '';
    try {
      for await (const chunk of body) {
        text += decoder.decode(chunk, { stream: true });
        const frames = text.split('\n\n');
        text = frames.pop() ?? '';
        frames.forEach(take);
        wake();
      }
    } catch {
      // The server has cut it, or the test has stopped it.
    }
    isOver = true;
    wake();
  };
  const next = async (): Promise<LiveCounts> => {
    for (;;) {
      const event = events.shift();
      if (event !== undefined) return event;
      if (isOver) throw new Error('the live stream has ended');
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
  };
  return {
    headers: response.headers,
    next,
    async until(match) {
      for (;;) {
        const event = await next();
        if (match(event)) return event;
      }
    },
    comments: () => comments,
    ended: read(response.body),
    stop: () => abort.abort(),
  };
}
