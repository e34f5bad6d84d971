import type { Clock } from '../../lib/clock.ts';
import { ok } from '../../lib/result.ts';
import { createMetricsPage, type MetricsPage } from '../../metrics/registry.ts';
import { addRoute, type RouteTable } from '../route.ts';

/** A page serves everybody who asks within this time: it costs milliseconds, and many may ask at once. */
const PAGE_AGE_MS = 100;

export function addMetricsRoute(table: RouteTable): void {
  const { counters, gauges, processMetrics, config, clock } = table.deps;
  const page = createMetricsPage({ counters, gauges, processMetrics });
  const render = renderAtMostEach(page, clock);
  addRoute(table, {
    method: 'get',
    path: '/metrics',
    access: config.environment === 'development' ? 'anyone' : 'service',
    tag: 'Operation',
    summary: 'Metrics in the text format of Prometheus',
    handle: async (call) => ok(call.context.body(await render(), 200, { 'content-type': page.contentType })),
  });
}

function renderAtMostEach(page: MetricsPage, clock: Clock): () => Promise<string> {
  let newest: { readonly at: number; readonly text: Promise<string> } | undefined;
  return () => {
    const at = clock.monotonic();
    if (newest === undefined || at - newest.at >= PAGE_AGE_MS) newest = { at, text: page.render() };
    return newest.text;
  };
}
