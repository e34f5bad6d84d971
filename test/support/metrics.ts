import type { Gateway } from './gateway-process.ts';

/** `/metrics` at one time: a map from the name of each series with its labels to its value. */
export type Metrics = (series: string) => number;

/** Reads all metrics. A missing series reads as `NaN`. */
export async function readMetrics(gateway: Pick<Gateway, 'service'>): Promise<Metrics> {
  const { text } = await gateway.service('GET', '/metrics');
  const values = new Map<string, number>();
  for (const line of text.split('\n')) {
    const at = line.lastIndexOf(' ');
    if (at > 0 && !line.startsWith('#')) values.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return (series) => values.get(series) ?? Number.NaN;
}
