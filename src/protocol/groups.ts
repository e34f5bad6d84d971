import type { Bilingual } from './error-codes.ts';

const NAME = /^[A-Za-z0-9_.:-]{1,64}$/;
/** Separates names in a text of groups. No name contains it, and no name contains a separator of the stores. */
const BETWEEN = ';';

/** The rule for a group name, as a sentence. */
export const GROUP_NAME_RULE: Bilingual = {
  en: '1 to 64 of A-Z a-z 0-9 _ . : -',
  zh: '1 到 64 个字符：A-Z a-z 0-9 _ . : -',
};
/** The same rule as a pattern, for the description of the interface. */
export const GROUP_NAME_PATTERN = NAME.source;

/** The rule as a note after the name that breaks it. */
export const GROUP_NAME_NOTE: Bilingual = { en: ` (${GROUP_NAME_RULE.en})`, zh: `（${GROUP_NAME_RULE.zh}）` };

export function isGroupName(value: unknown): value is string {
  return typeof value === 'string' && NAME.test(value);
}

/** Names as one text, each once and sorted. Empty: no group. */
export function groupsText(names: Iterable<string>): string {
  return [...new Set(names)].sort().join(BETWEEN);
}

/** The names in a text of groups. */
export function namesIn(text: string): readonly string[] {
  return text === '' ? [] : text.split(BETWEEN);
}

/** One change of the groups that the service gave to a user: the versions before and after it. */
export interface GroupStep {
  readonly period: number;
  readonly before: number;
  readonly version: number;
}

/** The service added a user to a group or removed the user. This notice goes to the nodes that hold the user. */
export interface GroupNotice {
  readonly userId: number;
  readonly group: string;
  readonly isAdded: boolean;
  readonly step: GroupStep;
}
