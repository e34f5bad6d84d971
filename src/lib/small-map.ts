interface Entry<Key, Value> {
  readonly key: Key;
  value: Value;
  next: Entry<Key, Value> | undefined;
}

/**
 * A map of very few entries, mostly one, in the order in which they came. With one entry a `Map`
 * takes 260 bytes on Node and 370 on Bun; this takes about 90. It may lose entries while it is iterated.
 */
export class SmallMap<Key, Value> {
  #first: Entry<Key, Value> | undefined;
  #size = 0;

  constructor(entries: Iterable<readonly [Key, Value]> = []) {
    for (const [key, value] of entries) this.set(key, value);
  }

  get size(): number {
    return this.#size;
  }

  get(key: Key): Value | undefined {
    return this.#find(key)?.value;
  }

  has(key: Key): boolean {
    return this.#find(key) !== undefined;
  }

  set(key: Key, value: Value): void {
    let last: Entry<Key, Value> | undefined;
    for (let entry = this.#first; entry !== undefined; entry = entry.next) {
      if (entry.key === key) {
        entry.value = value;
        return;
      }
      last = entry;
    }
    const added = { key, value, next: undefined };
    if (last === undefined) this.#first = added;
    else last.next = added;
    this.#size += 1;
  }

  /** False: there was no such entry. */
  delete(key: Key): boolean {
    let before: Entry<Key, Value> | undefined;
    for (let entry = this.#first; entry !== undefined; entry = entry.next) {
      if (entry.key === key) {
        if (before === undefined) this.#first = entry.next;
        else before.next = entry.next;
        this.#size -= 1;
        return true;
      }
      before = entry;
    }
    return false;
  }

  clear(): void {
    this.#first = undefined;
    this.#size = 0;
  }

  *[Symbol.iterator](): Generator<[Key, Value], void> {
    for (let entry = this.#first; entry !== undefined; entry = entry.next) yield [entry.key, entry.value];
  }

  *keys(): Generator<Key, void> {
    for (let entry = this.#first; entry !== undefined; entry = entry.next) yield entry.key;
  }

  *values(): Generator<Value, void> {
    for (let entry = this.#first; entry !== undefined; entry = entry.next) yield entry.value;
  }

  #find(key: Key): Entry<Key, Value> | undefined {
    let entry = this.#first;
    while (entry !== undefined && entry.key !== key) entry = entry.next;
    return entry;
  }
}
