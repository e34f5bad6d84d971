/** Undocumented, and the same function since Node 0.10: what Node does after each callback of its own. */
interface NodeProcess {
  readonly _tickCallback?: () => void;
}

/**
 * Runs whatever promises have to run, however deep their chains, and comes back. Outside of a promise's own callback
 * only: Node does nothing when it is called within one.
 */
export const settlePromises: () => void = findOut();

function findOut(): () => void {
  // In a browser nothing does it: there a page takes the events of the scheduler one by one.
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

/** Runs `work` where {@link settlePromises} works, in a turn of the loop of its own. */
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
