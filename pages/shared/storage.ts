/** Browser storage that never fails. If it is forbidden or full, a value lives as long as the page. */
export interface SafeStorage {
  get(name: string): string | undefined;
  /** `undefined` removes it. */
  set(name: string, value: string | undefined): void;
}

/** Ends when the tab closes. */
export const tabStorage: SafeStorage = safely(() => sessionStorage);

/** Stays on this computer. */
export const lastingStorage: SafeStorage = safely(() => localStorage);

function safely(storage: () => Storage): SafeStorage {
  /** The values that this page has set. They have priority, because the storage may have refused them. */
  const own = new Map<string, string | undefined>();
  return {
    get(name) {
      if (own.has(name)) return own.get(name);
      try {
        // If the storage is forbidden, even the access to its name throws.
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
        // Then the value is only in `own`.
      }
    },
  };
}
