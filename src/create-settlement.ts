import type { Config } from './config/config.ts';
import type { Clock } from './lib/clock.ts';
import type { Log } from './logging/log.ts';
import type { Counters } from './metrics/counters.ts';
import type { DutyStore } from './presence/store/port.ts';
import { GroupCommit, groupCommitPace } from './settlement/group-commit.ts';
import { LoginFailures } from './settlement/login-failures.ts';
import { PresenceLedger } from './settlement/presence-ledger.ts';
import { Reconciler } from './settlement/reconciler.ts';
import { Settler } from './settlement/settler.ts';
import { SqlHealth } from './settlement/sql-health.ts';
import type { UserStore } from './settlement/user-store.ts';

/** The parts that settle duties, and the port that presence uses. */
export interface Settlement {
  readonly settler: Settler;
  readonly reconciler: Reconciler;
  readonly ledger: PresenceLedger;
  readonly health: SqlHealth;
}

interface SettlementParts {
  readonly config: Config;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly node: string;
  readonly counters: Counters;
  readonly store: UserStore;
  readonly duties: DutyStore;
}

/** Joins the SQL store to the presence store, and settles the duties of the presence store. */
export function createSettlement(parts: SettlementParts): Settlement {
  const { config, clock, store } = parts;
  const health = new SqlHealth({ store, clock, log: parts.log });
  const settler = createSettler(parts, (duties) => ledger.onSettled(duties));
  const reconciler = createReconciler(parts, {
    settler,
    health,
    onSettled: (duties) => ledger.onSettled(duties),
  });
  const groupCommit = new GroupCommit({
    store,
    clock,
    failures: new LoginFailures(parts.log, clock),
    timeoutMs: config.sqlTimeoutMs,
    pace: groupCommitPace(config.databaseUrl),
  });
  const ledger = new PresenceLedger({ clock, node: parts.node, store, groupCommit, settler, reconciler });
  return { settler, reconciler, ledger, health };
}

type OnSettled = PresenceLedger['onSettled'];

function createSettler(parts: SettlementParts, onSettled: OnSettled): Settler {
  const { store, duties, clock, log, random } = parts;
  return new Settler({ store, source: duties, clock, log, random, onSettled });
}

function createReconciler(
  parts: SettlementParts,
  beside: { readonly settler: Settler; readonly health: SqlHealth; readonly onSettled: OnSettled },
): Reconciler {
  const { settler, health, onSettled } = beside;
  const { store, duties, clock, log, node, config, counters } = parts;
  return new Reconciler({
    store,
    presenceKnows: (rows) => duties.knows(rows),
    hasBurst: () => settler.hasBurst,
    clock,
    log,
    node,
    heartbeatTimeoutMs: config.heartbeatTimeoutMs,
    periodsRetentionDays: config.periodsRetentionDays,
    onSettled: (settled) => {
      counters.logouts.reconciled += settled.length;
      onSettled(settled);
    },
    onNoted: (error) => health.wrote(error),
  });
}
