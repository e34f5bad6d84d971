const NAME = /^[A-Za-z0-9_.:-]{1,64}$/;
/** Separates names in a text of groups. No name has it, nor a separator of the stores. */
const BETWEEN = ';';

/** What a group may be called, as a sentence says it. */
export const GROUP_NAME_RULE = '1 to 64 of A-Z a-z 0-9 _ . : -';
/** The same as a pattern, for the description of the interface. */
export const GROUP_NAME_PATTERN = NAME.source;

export function isGroupName(value: unknown): value is string {
  return typeof value === 'string' && NAME.test(value);
}

/** Names as one text, each once and in order; empty: no group. */
export function groupsText(names: Iterable<string>): string {
  return [...new Set(names)].sort().join(BETWEEN);
}

/** The names in a text of groups. */
export function namesIn(text: string): readonly string[] {
  return text === '' ? [] : text.split(BETWEEN);
}
