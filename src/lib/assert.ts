/** Throws if the program itself is wrong. Never use it for bad input. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** The exhaustive end of a switch over a union. */
export function unreachable(value: never): never {
  throw new Error(`unreachable case: ${String(value)}`);
}
