import { type Duty, periodKey } from '../protocol/periods.ts';

/** Merges to one duty per period, sorted by user and period. The later logout counts; any reason beats `reconciled`. */
export function mergeDuties(duties: readonly Duty[]): readonly Duty[] {
  const byPeriod = new Map<string, Duty>();
  for (const duty of duties) {
    const key = periodKey(duty);
    const held = byPeriod.get(key);
    if (held === undefined || outweighs(duty, held)) byPeriod.set(key, duty);
  }
  return [...byPeriod.values()].sort((a, b) => a.userId - b.userId || a.period - b.period);
}

function outweighs(duty: Duty, held: Duty): boolean {
  if ((duty.reason === 'reconciled') !== (held.reason === 'reconciled')) return held.reason === 'reconciled';
  return duty.logoutAt > held.logoutAt;
}
