/** Undocumented, and the same function since Node 0.10. Node itself runs it after each callback. */
interface NodeProcess {
  readonly _tickCallback?: () => void;
}

/**
 * Runs all waiting promises, however deep their chains, and returns. It must not be called inside a promise's callback, because
 * Node does nothing then.
 */
export const settlePromises: () => void = findOut();

function findOut(): () => void {
  // A browser has nothing like it. There a page takes the events of the scheduler one by one.
  if (typeof process === 'undefined') return unable;
  if (process.versions['bun'] !== undefined) {
    const { createRequire } = process.getBuiltinModule('node:module');
    const jsc = createRequire(import.meta.url)('bun:jsc') as { readonly drainMicrotasks: () => void };
    return jsc.drainMicrotasks;
  }
  const { _tickCallback } = process as unknown as NodeProcess;
  return _tickCallback ?? unable();
}

function unable(): never {
  throw new Error('this runtime cannot settle promises in between');
}

/** Runs `work` in its own turn of the loop, where {@link settlePromises} works. */
export function inOwnTurn<Value>(work: () => Value): Promise<Value> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        let settled = false;
        void Promise.resolve().then(() => {
          settled = true;
        });
        settlePromises();
        if (!settled) throw new Error('this runtime does not settle promises in between');
        resolve(work());
      } catch (error) {
        reject(error);
      }
    });
  });
}
