import type { Clock } from './clock.ts';

/**
 * Work that rejects after `limitMs`, and whose signal is aborted then. It has a timer of its own that it holds: on Node 20
 * the garbage collector may take an `AbortSignal.timeout` while a body is read, and a peer that stops half-way would then
 * be awaited for ever.
 */
export async function withDeadline<Value>(
  clock: Pick<Clock, 'after'>,
  limitMs: number,
  work: (signal: AbortSignal) => Promise<Value>,
): Promise<Value> {
  const cut = new AbortController();
  let end: (error: Error) => void = () => undefined;
  const late = new Promise<never>((_resolve, reject) => {
    end = reject;
  });
  const timer = clock.after(limitMs, () => {
    const error = new Error(`no answer within ${limitMs} ms`);
    end(error);
    cut.abort(error);
  });
  try {
    return await Promise.race([work(cut.signal), late]);
  } finally {
    timer.cancel();
  }
}
