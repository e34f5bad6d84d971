import type { Clock } from './clock.ts';

/**
 * Work that rejects after `limitMs`; its signal is then aborted. It keeps a reference to its own timer. On Node 20 the garbage
 * collector may remove an `AbortSignal.timeout` while a body is read. Then a peer that stops half-way would keep the caller
 * waiting forever.
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
