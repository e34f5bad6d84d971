import { altered, type BrokenPorts } from '../../../test/simulation/broken-ports.ts';
import type { Mutation } from '../../../test/simulation/mutation.ts';

/** A mutant of the simulator. A visitor may plant it to see that the checks can fail. */
interface BrokenRule {
  readonly mutation?: Mutation;
  readonly broken?: BrokenPorts;
}

export const RULES = {
  none: {},
  /** A period ends, and the store keeps no order to write its logout. */
  'no-order': { mutation: { dropsDuties: true } },
  /** Orders are never confirmed, and SQL writes a logout again although it has it. */
  'written-twice': {
    mutation: { settleLastWins: true },
    broken: { store: (store) => altered(store, { ackDuties: () => Promise.resolve() }) },
  },
  /** A node counts as dead after five seconds, and its users are logged out. */
  'hasty-death': { mutation: { reapsWithoutGrace: true, reapIgnoresDeadlines: true } },
  /** After a loss of the store, no node tells it who is online. */
  'never-restored': { mutation: { neverRestores: true } },
  /** The logout time is the time at which the silence was noticed. */
  'absence-counts': { mutation: { endsAtOnce: true } },
} as const satisfies Record<string, BrokenRule>;

export type RuleName = keyof typeof RULES;
export const RULE_NAMES = Object.keys(RULES) as readonly RuleName[];

export function isRule(name: string): name is RuleName {
  return Object.hasOwn(RULES, name);
}

export function brokenRule(name: RuleName): BrokenRule {
  return RULES[name];
}
