interface Entry<Key, Value> {
  readonly key: Key;
  value: Value;
  next: Entry<Key, Value> | undefined;
}

const NONE = Symbol('none');

/**
 * A map with very few entries, mostly one, in the order of insertion. With one entry a `Map` takes 260 bytes on Node and 370 on
 * Bun; this takes about 50. Entries may be removed during an iteration.
 */
export class SmallMap<Key, Value> {
  /**
   * The first entry is stored in the map itself, because most maps have no other. Its place stays free until the map is empty.
   */
  #key: Key | typeof NONE = NONE;
  #value: Value | undefined;
  #rest: Entry<Key, Value> | undefined;
  #size = 0;

  constructor(entries: Iterable<readonly [Key, Value]> = []) {
    for (const [key, value] of entries) this.set(key, value);
  }

  get size(): number {
    return this.#size;
  }

  get(key: Key): Value | undefined {
    return this.#key === key ? this.#value : this.#find(key)?.value;
  }

  has(key: Key): boolean {
    return this.#key === key || this.#find(key) !== undefined;
  }

  set(key: Key, value: Value): void {
    const present = this.#find(key);
    if (this.#size === 0) {
      this.#key = key;
      this.#value = value;
      this.#size = 1;
    } else if (this.#key === key) this.#value = value;
    else if (present === undefined) this.#append({ key, value, next: undefined });
    else present.value = value;
  }

  /** Returns false if there was no such entry. */
  delete(key: Key): boolean {
    if (this.#key === key) this.#dropFirst();
    else if (!this.#cut(key)) return false;
    this.#size -= 1;
    return true;
  }

  clear(): void {
    this.#dropFirst();
    this.#rest = undefined;
    this.#size = 0;
  }

  *[Symbol.iterator](): Generator<[Key, Value], void> {
    if (this.#key !== NONE) yield [this.#key, this.#value as Value];
    for (let entry = this.#rest; entry !== undefined; entry = entry.next) yield [entry.key, entry.value];
  }

  *keys(): Generator<Key, void> {
    for (const [key] of this) yield key;
  }

  *values(): Generator<Value, void> {
    if (this.#key !== NONE) yield this.#value as Value;
    for (let entry = this.#rest; entry !== undefined; entry = entry.next) yield entry.value;
  }

  #find(key: Key): Entry<Key, Value> | undefined {
    let entry = this.#rest;
    while (entry !== undefined && entry.key !== key) entry = entry.next;
    return entry;
  }

  #append(added: Entry<Key, Value>): void {
    let last = this.#rest;
    while (last?.next !== undefined) last = last.next;
    if (last === undefined) this.#rest = added;
    else last.next = added;
    this.#size += 1;
  }

  #dropFirst(): void {
    this.#key = NONE;
    this.#value = undefined;
  }

  /** Removes an entry after the first one. Returns false if there was no such entry. */
  #cut(key: Key): boolean {
    let before: Entry<Key, Value> | undefined;
    for (let entry = this.#rest; entry !== undefined; entry = entry.next) {
      if (entry.key === key) {
        if (before === undefined) this.#rest = entry.next;
        else before.next = entry.next;
        return true;
      }
      before = entry;
    }
    return false;
  }
}
