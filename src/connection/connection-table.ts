import type { ClientConnection } from './client-connection.ts';

const NONE: readonly ClientConnection[] = [];

/**
 * Connections by user. The array of a user is replaced and never changed, so a caller may iterate over it while connections end.
 */
export class ConnectionTable {
  readonly #byUser = new Map<number, readonly ClientConnection[]>();
  #connectionCount = 0;

  get userCount(): number {
    return this.#byUser.size;
  }

  get connectionCount(): number {
    return this.#connectionCount;
  }

  of(userId: number): readonly ClientConnection[] {
    return this.#byUser.get(userId) ?? NONE;
  }

  userIds(): Iterable<number> {
    return this.#byUser.keys();
  }

  *all(): Iterable<ClientConnection> {
    for (const connections of this.#byUser.values()) yield* connections;
  }

  newestEpoch(userId: number): number | undefined {
    let newest: number | undefined;
    for (const { registration } of this.of(userId)) {
      if (newest === undefined || registration.epoch > newest) newest = registration.epoch;
    }
    return newest;
  }

  add(connection: ClientConnection): void {
    const present = this.#byUser.get(connection.userId);
    this.#byUser.set(connection.userId, present === undefined ? [connection] : [...present, connection]);
    this.#connectionCount += 1;
  }

  remove(connection: ClientConnection): void {
    const present = this.#byUser.get(connection.userId);
    if (present === undefined || !present.includes(connection)) return;
    const left = present.filter((other) => other !== connection);
    if (left.length === 0) this.#byUser.delete(connection.userId);
    else this.#byUser.set(connection.userId, left);
    this.#connectionCount -= 1;
  }
}
