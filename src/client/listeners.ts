type Listener = (...values: never[]) => unknown;

/** Listeners by type. If one throws or rejects, `failed` gets the error, and the others still run. */
export class Listeners {
  readonly #failed: (error: unknown) => void;
  readonly #entries = new Map<string, Set<{ readonly call: Listener }>>();

  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  add(type: string, call: Listener, signal?: AbortSignal): () => void {
    const entry = { call };
    const entries = this.#entries.get(type) ?? new Set();
    this.#entries.set(type, entries);
    const remove = (): void => {
      entries.delete(entry);
      signal?.removeEventListener('abort', remove);
    };
    if (signal?.aborted) return remove;
    entries.add(entry);
    signal?.addEventListener('abort', remove);
    return remove;
  }

  emit(type: string, ...values: unknown[]): void {
    for (const { call } of [...(this.#entries.get(type) ?? [])]) {
      try {
        const result = call(...(values as never[])) as { then?: (done: undefined, failed: unknown) => void };
        // For an async listener: otherwise nobody would see its rejection.
        result?.then?.(undefined, this.#failed);
      } catch (error) {
        this.#failed(error);
      }
    }
  }
}

/** An error reporter that itself never throws or rejects. */
export function safely(report: (error: unknown) => unknown): (error: unknown) => void {
  // Nothing can report an error of the reporter itself.
  const reporters = new Listeners(() => undefined);
  reporters.add('', report);
  return (error) => reporters.emit('', error);
}
