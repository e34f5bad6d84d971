/** Handle of a pending timer or deferred call; `cancel` is idempotent. */
export interface Timer {
  cancel(): void;
}

/**
 * The clock that every module gets as an argument. Only `main` creates the real one, so that tests can prove every
 * rule about time on a fake clock.
 */
export interface Clock {
  /** Wall clock, milliseconds since 1970. May step in either direction. Use it for times that are shown or stored. */
  now(): number;
  /** Monotonic milliseconds since an arbitrary start. Never steps back. Use it for ages and deadlines. */
  monotonic(): number;
  /** Runs `callback` once after `delayMs`. */
  after(delayMs: number, callback: () => void): Timer;
  /** Runs `callback` every `intervalMs`. */
  every(intervalMs: number, callback: () => void): Timer;
  /** Runs `callback` after the pending socket reads of this turn of the event loop. */
  defer(callback: () => void): Timer;
}

/** The clock of the operating system. Its timers do not keep the process alive. */
export function systemClock(): Clock {
  return {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    after(delayMs, callback) {
      const handle = setTimeout(callback, delayMs);
      handle.unref();
      return { cancel: () => clearTimeout(handle) };
    },
    every(intervalMs, callback) {
      const handle = setInterval(callback, intervalMs);
      handle.unref();
      return { cancel: () => clearInterval(handle) };
    },
    defer(callback) {
      const handle = setImmediate(callback);
      return { cancel: () => clearImmediate(handle) };
    },
  };
}

/**
 * The same clock, but its callbacks cannot end the process: exceptions go to `failed`. A repeating timer continues. This is the
 * only guard around all timers of a gateway.
 */
export function guardedClock(clock: Clock, failed: (error: unknown) => void): Clock {
  const guarded = (callback: () => void) => (): void => {
    try {
      callback();
    } catch (error) {
      failed(error);
    }
  };
  return {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    after: (delayMs, callback) => clock.after(delayMs, guarded(callback)),
    every: (intervalMs, callback) => clock.every(intervalMs, guarded(callback)),
    defer: (callback) => clock.defer(guarded(callback)),
  };
}

/** Resolves after `delayMs` of `clock`. */
export function sleep(clock: Pick<Clock, 'after'>, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve);
  });
}
