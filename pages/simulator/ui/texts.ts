import type { Action, ActionKind, Slot } from '../model/actions.ts';
import type { RuleName } from '../model/broken-rules.ts';
import type { Check, Verdict } from '../model/checks.ts';
import type { Entry } from '../model/history-log.ts';
import type { Theme } from './settings.ts';

export type NodeState = 'dead' | 'starting' | 'frozen' | 'cut' | 'up' | 'unavailable';

interface Named {
  readonly name: string;
  readonly node: string;
  readonly hours: number;
}

/** All texts of the page in one language. */
export interface Texts {
  readonly title: string;
  readonly heading: string;
  readonly lead: string;
  readonly skip: string;
  readonly language: string;
  readonly theme: string;
  readonly themes: Readonly<Record<Theme, string>>;
  readonly names: readonly string[];
  readonly exact: string;
  readonly wrong: string;
  readonly counts: (verdict: Verdict) => string;
  readonly checks: Readonly<Record<Check, string>>;
  readonly holds: string;
  readonly violated: string;
  readonly witness: string;
  readonly unplanned: string;
  readonly controls: string;
  readonly play: string;
  readonly pause: string;
  readonly step: string;
  readonly speed: string;
  readonly seed: string;
  readonly fresh: string;
  readonly replay: string;
  readonly replayHint: string;
  readonly copy: string;
  readonly copied: string;
  readonly notCopied: string;
  readonly badSeed: string;
  readonly chance: string;
  readonly rule: string;
  readonly ruleHint: string;
  readonly rules: Readonly<Record<RuleName, { readonly name: string; readonly hint: string }>>;
  /** A rule is broken, but the ledger is still exact. */
  readonly unmet: string;
  readonly winding: string;
  readonly over: string;
  readonly damaged: string;
  readonly toCome: (count: number) => string;
  readonly deployment: string;
  readonly node: (slot: Slot) => string;
  readonly nodeStates: Readonly<Record<NodeState, string>>;
  readonly kill: string;
  readonly start: string;
  readonly freeze: string;
  readonly thaw: string;
  readonly cut: string;
  readonly join: string;
  readonly clock: (hours: number) => string;
  readonly store: string;
  readonly storeStates: { readonly up: string; readonly away: string };
  readonly storeFacts: (facts: { readonly online: number; readonly orders: number }) => string;
  readonly wipe: string;
  readonly failover: string;
  readonly sql: string;
  readonly sqlStates: { readonly up: string; readonly away: string };
  readonly sqlFacts: (facts: { readonly open: number; readonly settled: number }) => string;
  readonly stopSql: string;
  readonly startSql: string;
  readonly users: string;
  readonly userStates: {
    readonly online: (node: string) => string;
    readonly silent: (node: string) => string;
    readonly lingering: string;
    readonly connecting: string;
    readonly offline: string;
    readonly unknown: string;
  };
  readonly toNode: (slot: Slot) => string;
  readonly toNodeLabel: (name: string, slot: Slot) => string;
  readonly silent: string;
  readonly speak: string;
  readonly close: string;
  readonly tab: string;
  readonly logout: string;
  readonly timeline: string;
  readonly timelineLabel: (running: number, faults: number) => string;
  readonly legend: Readonly<Record<'running' | 'unnoticed' | 'settled' | 'fault', string>>;
  readonly ledger: string;
  readonly ledgerLead: string;
  /** A note beside times that contain a jump of the store's clock, and below the totals. */
  readonly jumped: (hours: number) => string;
  readonly jumps: string;
  readonly columns: readonly string[];
  readonly states: Readonly<Record<'running' | 'missing' | 'pending' | 'settled' | 'lost' | 'twice', string>>;
  readonly empty: string;
  readonly reason: (reason: string) => string;
  readonly total: string;
  readonly log: string;
  readonly logEmpty: string;
  readonly trace: string;
  readonly by: string;
  readonly ago: (seconds: number) => string;
  readonly actions: Readonly<Record<ActionKind, (named: Named) => string>>;
  readonly told: {
    readonly connected: (name: string, node: string) => string;
    readonly closed: (name: string, node: string, code: number) => string;
    readonly refused: (name: string, node: string, why: string) => string;
    readonly ended: (name: string, why: string) => string;
    readonly settled: (name: string, gained: string) => string;
    readonly corrected: (name: string, gained: string) => string;
    readonly repeated: (name: string) => string;
    readonly twice: (name: string) => string;
    readonly lost: (name: string) => string;
    readonly promoted: string;
    readonly full: string;
    readonly violated: string;
  };
}

export function nameOf(texts: Texts, user: number): string {
  return texts.names[user - 1] ?? String(user);
}

export function signed(hours: number): string {
  return `${hours > 0 ? '+' : '−'}${Math.abs(hours)}`;
}

/** Seconds with one digit, the unit of the ledger. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

export function actionText(texts: Texts, action: Action): string {
  return texts.actions[action.kind]({
    name: 'user' in action ? nameOf(texts, action.user) : '',
    node: 'node' in action ? action.node : '',
    hours: 'hours' in action ? action.hours : 0,
  });
}

/** One entry of the log as a sentence. */
export function sentence(texts: Texts, entry: Entry): string {
  const { told } = texts;
  switch (entry.kind) {
    case 'press':
      return `${entry.byChance ? `${texts.by} ` : ''}${actionText(texts, entry.action)}`;
    case 'connected':
      return told.connected(nameOf(texts, entry.user), entry.node);
    case 'closed':
      return told.closed(nameOf(texts, entry.user), entry.node, entry.code);
    case 'refused':
      return told.refused(nameOf(texts, entry.user), entry.node, entry.why);
    case 'ended':
      return told.ended(nameOf(texts, entry.user), entry.why);
    case 'settled':
    case 'corrected':
      return told[entry.kind](nameOf(texts, entry.user), seconds(entry.gainedMs));
    case 'repeated':
    case 'twice':
    case 'lost':
      return told[entry.kind](nameOf(texts, entry.user));
    case 'promoted':
    case 'full':
      return told[entry.kind];
    case 'violated':
      return `${told.violated} ${entry.text}`;
  }
}
