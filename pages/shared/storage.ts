/** Storage of the browser that never fails: where it is forbidden or full, a value lives as long as the page. */
export interface SafeStorage {
  get(name: string): string | undefined;
  /** `undefined` removes it. */
  set(name: string, value: string | undefined): void;
}

/** Ends with the tab. */
export const tabStorage: SafeStorage = safely(() => sessionStorage);

/** Stays on this computer. */
export const lastingStorage: SafeStorage = safely(() => localStorage);

function safely(storage: () => Storage): SafeStorage {
  /** What this page has set itself; it wins, because the storage may have refused it. */
  const own = new Map<string, string | undefined>();
  return {
    get(name) {
      if (own.has(name)) return own.get(name);
      try {
        // To name the storage throws where it is forbidden.
        return storage().getItem(name) ?? undefined;
      } catch {
        return undefined;
      }
    },
    set(name, value) {
      own.set(name, value);
      try {
        if (value === undefined) storage().removeItem(name);
        else storage().setItem(name, value);
      } catch {
        // It lives in `own`.
      }
    },
  };
}
