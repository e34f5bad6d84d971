import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Counters, Gauges, Histogram } from './counters.ts';

/** The page that Prometheus scrapes. */
export interface MetricsPage {
  readonly contentType: string;
  /** The text exposition format, version 0.0.4, from the present values of counters and gauges. */
  render(): Promise<string>;
}

/**
 * Binds plain counters and gauges to their stable metric names. `processMetrics` adds the metrics of the process and its event
 * loop, if the runtime has them. They observe the process for its whole life, so only one registry should have them.
 */
export function createMetricsPage(options: {
  readonly counters: Counters;
  readonly gauges: Gauges;
  readonly processMetrics: boolean;
}): MetricsPage {
  const registry = new Registry();
  bindGauges(registry, options.gauges);
  bindCounters(registry, options.counters);
  const processRegistry = options.processMetrics ? createProcessRegistry() : undefined;
  return {
    contentType: registry.contentType,
    async render() {
      const own = await registry.metrics();
      const lag = histogramText(
        'lingxi_detection_lag_seconds',
        'Time between a missed deadline and its detection.',
        [['', options.counters.detectionLag]],
      );
      const scripts = histogramText(
        'lingxi_script_duration_seconds',
        'Time from sending a script to Redis to its answer, by script.',
        [...options.counters.scripts].map(([name, histogram]) => [`script="${name}"`, histogram]),
      );
      return `${own.trimEnd()}\n\n${lag}\n${scripts}${await renderProcess(processRegistry)}`;
    },
  };
}

function bindGauges(registry: Registry, gauges: Gauges): void {
  const bind = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  };
  bind('lingxi_users_online', 'Users online in the whole deployment, lingering included.', () =>
    gauges.usersOnline(),
  );
  bind(
    'lingxi_users_lingering',
    'Users that this node holds without a socket, and without a proof of life by HTTP that still counts.',
    () => gauges.usersLingering(),
  );
  bind('lingxi_connections', 'Open WebSocket connections of this node.', () => gauges.connections());
  bind('lingxi_logins_waiting', 'Upgrades that wait because this node is busy with other logins.', () =>
    gauges.loginsWaiting(),
  );
  bind('lingxi_dispatch_queue_depth', 'Messages accepted and not yet handed to connections.', () =>
    gauges.dispatchQueueDepth(),
  );
  bind('lingxi_dispatch_queue_capacity', 'Messages that the dispatch queue holds at most.', () =>
    gauges.dispatchQueueCapacity(),
  );
  bind('lingxi_queued_messages', 'Messages behind slow sockets of this node.', () => gauges.queuedMessages());
  bind('lingxi_send_queue_capacity', 'Messages that the send queue of one connection holds at most.', () =>
    gauges.sendQueueCapacity(),
  );
  bind('lingxi_push_stream_length', 'Entries of the push stream whose outcome is not known yet.', () =>
    gauges.pushStreamLength(),
  );
  bind('lingxi_settlements_pending', 'Ended periods that are not written to SQL yet.', () =>
    gauges.settlementsPending(),
  );
  bind(
    'lingxi_settlement_oldest_age_seconds',
    'Age of the oldest pending settlement.',
    () => gauges.settlementOldestAgeMs() / 1000,
  );
  bind(
    'lingxi_settlements_set_aside',
    'Logouts that SQL refused for good and that wait for an operator.',
    () => gauges.settlementsSetAside(),
  );
  bind('lingxi_settlement_available', '1 while SQL answers and takes writes, else 0.', () =>
    gauges.settlementAvailable() ? 1 : 0,
  );
  bind('lingxi_ghosts', 'Users of dead nodes that nobody has ended yet.', () => gauges.orphans());
}

function bindCounters(registry: Registry, counters: Counters): void {
  const bind = (name: string, help: string, read: () => number): void => {
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  };
  bind('lingxi_logins_total', 'Periods opened by this node.', () => counters.logins);
  bind('lingxi_heartbeats_total', 'Heartbeats received by this node.', () => counters.heartbeats);
  bind(
    'lingxi_malformed_messages_total',
    'Client messages that were ignored because they could not be read.',
    () => counters.malformedMessages,
  );
  bind(
    'lingxi_handshakes_left_total',
    'Clients that left before the answer to their WebSocket upgrade.',
    () => counters.handshakesLeft,
  );
  bind(
    'lingxi_mass_timeouts_held_total',
    'Users granted one more timeout because too many would have timed out within one second.',
    () => counters.massTimeoutsHeld,
  );
  bind(
    'lingxi_stall_credited_seconds_total',
    'Time that nobody could observe and that was not charged to users.',
    () => counters.stallCreditedMs / 1000,
  );
  bind(
    'lingxi_node_frames_missed_total',
    'Frames from other nodes to this one that were lost.',
    () => counters.nodeFramesMissed,
  );
  bind(
    'lingxi_push_channel_dropped_total',
    'Messages of the push channel that this node dropped because too many waited.',
    () => counters.pushChannelDropped,
  );
  bind(
    'lingxi_messages_replaced_total',
    'Queued messages that a newer one with the same key replaced.',
    () => counters.messagesReplaced,
  );
  bind(
    'lingxi_pushes_repeated_total',
    'Pushes that delivered nothing because their idempotency key was known.',
    () => counters.pushesRepeated,
  );
  bindLabelledCounters(registry, counters);
}

function bindLabelledCounters(registry: Registry, counters: Counters): void {
  bindLabelled(registry, {
    name: 'lingxi_logouts_total',
    help: 'Periods ended by this node, by reason.',
    label: 'reason',
    read: () => Object.entries(counters.logouts),
  });
  bindLabelled(registry, {
    name: 'lingxi_messages_total',
    help: 'Messages to users, by what their senders were told; queued ones that were lost since count as dropped too.',
    label: 'status',
    read: () => Object.entries(counters.messages),
  });
  bindLabelled(registry, {
    name: 'lingxi_messages_dropped_total',
    help: 'Messages that were dropped, by reason.',
    label: 'reason',
    read: () => Object.entries(counters.dropped),
  });
  bindLabelled(registry, {
    name: 'lingxi_push_stream_entries_total',
    help: 'Entries of the push stream, by what became of them on this node.',
    label: 'outcome',
    read: () => Object.entries(counters.pushStream),
  });
  bindLabelled(registry, {
    name: 'lingxi_inbound_messages_total',
    help: 'Client messages of the types of the application, by what became of them.',
    label: 'outcome',
    read: () => Object.entries(counters.inbound),
  });
  bindLabelled(registry, {
    name: 'lingxi_script_failures_total',
    help: 'Scripts that Redis did not answer or refused, by script.',
    label: 'script',
    read: () => counters.scriptFailures,
  });
  bindLabelled(registry, {
    name: 'lingxi_refused_total',
    help: 'Refused WebSocket upgrades, by error code.',
    label: 'code',
    read: () => counters.refused,
  });
  bindLabelled(registry, {
    name: 'lingxi_internal_errors_total',
    help: 'Exceptions that are bugs of this program, by where they were caught.',
    label: 'where',
    read: () => counters.internalErrors,
  });
}

function bindLabelled(
  registry: Registry,
  metric: {
    readonly name: string;
    readonly help: string;
    readonly label: string;
    readonly read: () => Iterable<readonly [string, number]>;
  },
): void {
  new Counter({
    name: metric.name,
    help: metric.help,
    labelNames: [metric.label],
    registers: [registry],
    collect() {
      this.reset();
      for (const [value, count] of metric.read()) this.inc({ [metric.label]: value }, count);
    },
  });
}

/**
 * prom-client's own histogram can only observe: unlike a gauge, it cannot be set to what was counted elsewhere. These histograms
 * are filled elsewhere and only written here.
 */
function histogramText(
  name: string,
  help: string,
  series: readonly (readonly [label: string, histogram: Histogram])[],
): string {
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`];
  for (const [label, { bounds, buckets, sum, count }] of series) {
    let cumulative = 0;
    buckets.forEach((observed, index) => {
      cumulative += observed;
      const labels = [label, `le="${bounds[index] ?? '+Inf'}"`].filter((part) => part !== '').join(',');
      lines.push(`${name}_bucket{${labels}} ${cumulative}`);
    });
    const own = label === '' ? '' : `{${label}}`;
    lines.push(`${name}_sum${own} ${sum}`, `${name}_count${own} ${count}`);
  }
  return `${lines.join('\n')}\n`;
}

/** An hour. */
const LONG_MS = 3_600_000;

/** Undefined if the runtime lacks the sources of the process metrics. */
function createProcessRegistry(): Registry | undefined {
  const registry = new Registry();
  try {
    if (!('bun' in process.versions)) {
      collectDefaultMetrics({ register: registry });
      return registry;
    }
    // Bun's event-loop delay monitor is unusable: its figures are NaN or absurd. By default it wakes the loop every 10 ms.
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LONG_MS });
    removeLoopMetrics(registry);
    return registry;
  } catch {
    return undefined;
  }
}

function removeLoopMetrics(registry: Registry): void {
  for (const { name } of registry.getMetricsAsArray()) {
    if (name.startsWith('nodejs_eventloop_lag')) registry.removeSingleMetric(name);
  }
}

async function renderProcess(registry: Registry | undefined): Promise<string> {
  if (registry === undefined) return '';
  try {
    return `\n${await registry.metrics()}`;
  } catch {
    return '';
  }
}
