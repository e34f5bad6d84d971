import type { Gateway } from './gateway-process.ts';

/** `/metrics` of one moment: what stands before the value, labels included, to the value. */
export type Metrics = (series: string) => number;

/** Reads all metrics; a series that is not there reads as `NaN`. */
export async function readMetrics(gateway: Pick<Gateway, 'service'>): Promise<Metrics> {
  const { text } = await gateway.service('GET', '/metrics');
  const values = new Map<string, number>();
  for (const line of text.split('\n')) {
    const at = line.lastIndexOf(' ');
    if (at > 0 && !line.startsWith('#')) values.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return (series) => values.get(series) ?? Number.NaN;
}
