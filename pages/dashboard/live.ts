import { Value } from '../shared/value.ts';
import { askedWaitMs, call, type Problem, problemOf } from './ask.ts';
import { type Counts, readCounts } from './counts.ts';
import { EventStreamReader, type StreamEvent } from './event-stream.ts';
import { History } from './history.ts';
import { session } from './session.ts';

/** The state of the stream of counts. */
export type LiveState =
  | { readonly status: 'connecting'; readonly problem?: Problem }
  | { readonly status: 'live' }
  /** Open, but nothing has arrived for a while. */
  | { readonly status: 'quiet'; readonly since: number }
  /** The next attempt is at `retryAt`, by the clock of this page. */
  | { readonly status: 'waiting'; readonly problem: Problem; readonly retryAt: number };

export const liveState = new Value<LiveState>({ status: 'connecting' });
export const counts = new Value<Counts | undefined>(undefined);
/** When the last counts came, by the clock of this page. */
export const countedAt = new Value(0);
/** Changes with each sample of {@link history}. */
export const samples = new Value(0);
export let history: History = new History();

/** The counts arrive every 500 ms. */
const QUIET_AFTER_MS = 2_500;
/** After this silence the stream counts as dead, even if it has not ended. */
const DEAD_AFTER_MS = 8_000;
const WATCH_MS = 500;
const FIRST_BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 10_000;

let stopAttempt: (() => void) | undefined;
let wake: (() => void) | undefined;
let mayHurry = true;
let isHurried = false;

/** The server's clock. A text such as "12 s ago" must not depend on the clock of this computer. */
export function serverNow(): number {
  const last = counts.now;
  return last === undefined ? Date.now() : last.at + (Date.now() - countedAt.now);
}

/** Tries again at once. */
export function retryNow(): void {
  wake?.();
}

/**
 * Another request of the page got an answer, or none. The first answer after a silence tries the stream at once: otherwise fresh
 * rows would be shown beside a bar that calls the figures old. If only the stream fails, it keeps its own interval.
 */
export function noteReply(problem: Problem | undefined): void {
  if (problem !== undefined) {
    if (isAbsence(problem)) mayHurry = true;
    return;
  }
  const state = liveState.now;
  if (!mayHurry || state.status !== 'waiting' || !isAbsence(state.problem)) return;
  mayHurry = false;
  isHurried = true;
  wake?.();
}

/** Nothing answered. A refusal is an answer, and has a time to wait. */
function isAbsence({ kind }: Problem): boolean {
  return kind === 'unreachable' || kind === 'slow' || kind === 'ended' || kind === 'gateway';
}

/** Keeps the stream open as long as there is a key. Returns a function that ends it. */
export function follow(key: string): () => void {
  const stop = new AbortController();
  history = new History();
  counts.set(undefined);
  samples.set(0);
  liveState.set({ status: 'connecting' });
  const run = async (): Promise<void> => {
    let backoffMs = FIRST_BACKOFF_MS;
    while (!stop.signal.aborted) {
      const before = countedAt.now;
      const problem = await attempt(key);
      if (stop.signal.aborted || session.now?.key !== key) return;
      if (countedAt.now !== before) backoffMs = FIRST_BACKOFF_MS;
      // Random, so that a hundred pages do not return at the same time.
      const waitMs = Math.max(askedWaitMs(problem), backoffMs * (0.5 + Math.random()));
      backoffMs = Math.min(2 * backoffMs, LONGEST_BACKOFF_MS);
      liveState.set({ status: 'waiting', problem, retryAt: Date.now() + waitMs });
      await pause(waitMs);
      if (isHurried) backoffMs = FIRST_BACKOFF_MS;
      isHurried = false;
      if (!stop.signal.aborted) liveState.set({ status: 'connecting', problem });
    }
  };
  void run();
  const onReturn = (): void => {
    if (document.visibilityState !== 'visible') return;
    // After a computer slept, or a tab was frozen, its open stream sends nothing any more.
    if (liveState.now.status !== 'connecting' && Date.now() - countedAt.now > QUIET_AFTER_MS) {
      stopAttempt?.();
      wake?.();
    }
  };
  const onOnline = (): void => wake?.();
  document.addEventListener('visibilitychange', onReturn);
  addEventListener('pageshow', onReturn);
  addEventListener('online', onOnline);
  return () => {
    stop.abort();
    stopAttempt?.();
    wake?.();
    document.removeEventListener('visibilitychange', onReturn);
    removeEventListener('pageshow', onReturn);
    removeEventListener('online', onOnline);
  };
}

/** One stream, until it ends for any reason. */
async function attempt(key: string): Promise<Problem> {
  const controller = new AbortController();
  let lastNewsAt = Date.now();
  let isDead = false;
  stopAttempt = () => controller.abort();
  const watchdog = setInterval(() => {
    const silentMs = Date.now() - lastNewsAt;
    if (silentMs > DEAD_AFTER_MS) {
      isDead = true;
      controller.abort();
    } else if (silentMs > QUIET_AFTER_MS && liveState.now.status === 'live')
      liveState.set({ status: 'quiet', since: lastNewsAt });
  }, WATCH_MS);
  try {
    const response = await call('dashboard/live', { key }, controller.signal);
    if (!response.ok) return await problemOf(response, key);
    if (response.body === null) return { kind: 'strange' };
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const events = new EventStreamReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return { kind: 'ended' };
      const found = events.push(value).map(take);
      if (found.includes(true)) lastNewsAt = Date.now();
    }
  } catch (error) {
    if (isDead) return { kind: 'slow' };
    return { kind: error instanceof RangeError ? 'strange' : 'unreachable' };
  } finally {
    clearInterval(watchdog);
    // Nobody reads the body of a refusal or of an invalid stream.
    controller.abort();
  }
}

/** Whether the event contained counts. */
function take({ event, data }: StreamEvent): boolean {
  if (event !== 'counts') return false;
  let next: Counts | undefined;
  try {
    next = readCounts(JSON.parse(data));
  } catch {
    return false;
  }
  if (next === undefined) return false;
  const now = Date.now();
  history.push(next, now);
  countedAt.set(now);
  mayHurry = true;
  counts.set(next);
  samples.set(samples.now + 1);
  liveState.set(liveState.now.status === 'live' ? liveState.now : { status: 'live' });
  return true;
}

function pause(ms: number): Promise<void> {
  return new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => {
      clearTimeout(timer);
      resolve();
    };
  }).then(() => {
    wake = undefined;
  });
}
