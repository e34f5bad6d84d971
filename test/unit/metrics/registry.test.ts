import { describe, expect, it } from 'vitest';
import { Counters, countScript } from '../../../src/metrics/counters.ts';
import { createMetricsPage } from '../../../src/metrics/registry.ts';

const gauges = {
  usersOnline: () => 7,
  usersLingering: () => 6,
  loginsWaiting: () => 8,
  connections: () => 5,
  dispatchQueueDepth: () => 3,
  dispatchQueueCapacity: () => 256,
  queuedMessages: () => 2,
  sendQueueCapacity: () => 64,
  pushStreamLength: () => 9,
  settlementsPending: () => 4,
  settlementOldestAgeMs: () => 1500,
  settlementsSetAside: () => 8,
  settlementAvailable: () => true,
  orphans: () => 1,
};

describe('the metrics page', () => {
  it('shows every stable name with its present value', async () => {
    const counters = new Counters();
    const page = createMetricsPage({ counters, gauges, processMetrics: false });
    await page.render();
    counters.logins = 2;
    counters.heartbeats = 9;
    counters.logouts.timeout = 1;
    counters.messages.written = 6;
    counters.dropped.rate = 1;
    counters.stallCreditedMs = 2500;
    counters.malformedMessages = 8;
    counters.handshakesLeft = 9;
    counters.refused.set('invalid-token', 3);
    const lines = (await page.render()).split('\n');
    expect(lines).toEqual(
      expect.arrayContaining([
        'lingxi_users_online 7',
        'lingxi_users_lingering 6',
        'lingxi_connections 5',
        'lingxi_logins_waiting 8',
        'lingxi_dispatch_queue_depth 3',
        'lingxi_settlements_pending 4',
        'lingxi_settlement_oldest_age_seconds 1.5',
        'lingxi_settlements_set_aside 8',
        'lingxi_settlement_available 1',
        'lingxi_ghosts 1',
        'lingxi_logins_total 2',
        'lingxi_heartbeats_total 9',
        'lingxi_logouts_total{reason="timeout"} 1',
        'lingxi_logouts_total{reason="node-lost"} 0',
        'lingxi_messages_total{status="written"} 6',
        'lingxi_messages_dropped_total{reason="rate"} 1',
        'lingxi_stall_credited_seconds_total 2.5',
        'lingxi_malformed_messages_total 8',
        'lingxi_handshakes_left_total 9',
        'lingxi_refused_total{code="invalid-token"} 3',
      ]),
    );
  });

  it('writes the detection lag as a cumulative histogram', async () => {
    const counters = new Counters();
    for (const lag of [0.005, 0.02, 0.02, 9]) counters.detectionLag.observe(lag);
    const text = await createMetricsPage({ counters, gauges, processMetrics: false }).render();
    expect(text).toContain('# TYPE lingxi_detection_lag_seconds histogram');
    expect(text).toContain('lingxi_detection_lag_seconds_bucket{le="0.01"} 1\n');
    expect(text).toContain('lingxi_detection_lag_seconds_bucket{le="0.025"} 3\n');
    expect(text).toContain('lingxi_detection_lag_seconds_bucket{le="5"} 3\n');
    expect(text).toContain('lingxi_detection_lag_seconds_bucket{le="+Inf"} 4\n');
    expect(text).toContain('lingxi_detection_lag_seconds_count 4\n');
  });

  it('writes the latency and the failures of each script in its own series', async () => {
    const counters = new Counters();
    for (const seconds of [0.0004, 0.003, 2])
      countScript(counters, { name: 'claim', seconds, answered: true });
    countScript(counters, { name: 'renew', seconds: 0.02, answered: true });
    countScript(counters, { name: 'renew', seconds: 1, answered: false });
    const text = await createMetricsPage({ counters, gauges, processMetrics: false }).render();
    const lines = text.split('\n');
    expect(lines.filter((line) => line === '# TYPE lingxi_script_duration_seconds histogram')).toHaveLength(
      1,
    );
    expect(lines).toEqual(
      expect.arrayContaining([
        'lingxi_script_duration_seconds_bucket{script="claim",le="0.0005"} 1',
        'lingxi_script_duration_seconds_bucket{script="claim",le="0.005"} 2',
        'lingxi_script_duration_seconds_bucket{script="claim",le="+Inf"} 3',
        'lingxi_script_duration_seconds_count{script="claim"} 3',
        'lingxi_script_duration_seconds_sum{script="renew"} 0.02',
        'lingxi_script_duration_seconds_count{script="renew"} 1',
        'lingxi_script_failures_total{script="renew"} 1',
      ]),
    );
  });

  it('adds process metrics on request', async () => {
    const page = createMetricsPage({ counters: new Counters(), gauges, processMetrics: true });
    expect(await page.render()).toContain('process_cpu_user_seconds_total');
  });
});
