import { ok } from '../../lib/result.ts';
import { createMetricsPage } from '../../metrics/registry.ts';
import { addRoute, type RouteTable } from '../route.ts';

export function addMetricsRoute(table: RouteTable): void {
  const { counters, gauges, processMetrics, config } = table.deps;
  const page = createMetricsPage({ counters, gauges, processMetrics });
  addRoute(table, {
    method: 'get',
    path: '/metrics',
    access: config.environment === 'development' ? 'anyone' : 'service',
    tag: 'Operation',
    summary: 'Metrics in the text format of Prometheus',
    handle: async (call) =>
      ok(call.context.body(await page.render(), 200, { 'content-type': page.contentType })),
  });
}
