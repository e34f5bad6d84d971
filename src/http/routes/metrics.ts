import type { Clock } from '../../lib/clock.ts';
import { ok } from '../../lib/result.ts';
import { createMetricsPage, type MetricsPage } from '../../metrics/registry.ts';
import { addRoute, type RouteTable } from '../route.ts';

export function addMetricsRoute(table: RouteTable): void {
  const { counters, gauges, processMetrics, config, clock } = table.deps;
  const page = createMetricsPage({ counters, gauges, processMetrics });
  const render = renderOnceATurn(page, clock);
  addRoute(table, {
    method: 'get',
    path: '/metrics',
    access: config.environment === 'development' ? 'anyone' : 'service',
    tag: 'Operation',
    summary: 'Metrics in the text format of Prometheus',
    handle: async (call) => ok(call.context.body(await render(), 200, { 'content-type': page.contentType })),
  });
}

/** Renders once for all requests of one turn of the event loop. It takes milliseconds, and one write may bring many requests. */
function renderOnceATurn(page: MetricsPage, clock: Clock): () => Promise<string> {
  let ofThisTurn: Promise<string> | undefined;
  return () => {
    if (ofThisTurn === undefined) {
      ofThisTurn = page.render();
      clock.after(0, () => {
        ofThisTurn = undefined;
      });
    }
    return ofThisTurn;
  };
}
