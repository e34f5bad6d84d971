/** Wall time in whole µs, fine enough for latencies, and the same in every process of the machine. */
export function wallMicros(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}

/** CPU time of this process and the time that it took, for the share of a core. */
export interface Spent {
  readonly ms: number;
  readonly cpuMs: number;
}

/** Starts to count. The returned function returns what was used since then. */
export function spending(): () => Spent {
  const start = performance.now();
  const before = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(before);
    return { ms: performance.now() - start, cpuMs: (user + system) / 1000 };
  };
}
