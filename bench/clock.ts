/** Wall time in whole µs, fine enough for latencies, and the same in every process of the machine. */
export function wallMicros(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}

/** CPU time of this process and how long it took, for the share of a core that it used. */
export interface Spent {
  readonly ms: number;
  readonly cpuMs: number;
}

/** Begins to count; what is returned answers what was spent since. */
export function spending(): () => Spent {
  const start = performance.now();
  const before = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(before);
    return { ms: performance.now() - start, cpuMs: (user + system) / 1000 };
  };
}
