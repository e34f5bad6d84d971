import { namesIn } from '../../protocol/groups.ts';
import type { Claim, GroupAnswer, GroupStep } from '../store/port.ts';
import { isOnline, type Moment, type RecordState } from './record.ts';

/*
 * The groups that the service gave to a user are a text, `version;name;name…`, empty where the period has had none. The
 * version rises with each change, above the wall clock: of two texts of one period the newer one has the higher version,
 * also where Redis lost changes and others followed (rule GR1).
 */

const BETWEEN = ';';

export function versionOf(text: string): number {
  return text === '' ? 0 : Number.parseInt(text, 10);
}

/** The names that the service gave. */
export function givenNames(text: string): readonly string[] {
  return namesIn(text).slice(1);
}

/** Of two texts of one period, the newer one. */
export function newerGroups(left: string, right: string): string {
  return versionOf(right) > versionOf(left) ? right : left;
}

/** What a node hears that the period has had no groups, where it knows of some. */
const NONE = '0';

/** What a node should hear: the groups that the service gave, where it knows another version; else empty. */
export function untoldGroups({ groups }: RecordState, { serviceGroups }: Claim): string {
  if (versionOf(groups) === versionOf(serviceGroups)) return '';
  return groups === '' ? NONE : groups;
}

/**
 * What a node knows after an answer to its claim. The store is right, also where it went back in time and the period with it,
 * unless the node has heard of a change since it made the claim.
 */
export function heardGroups(
  known: string,
  { told, stated }: { readonly told: string; readonly stated: number },
): string {
  if (versionOf(known) !== stated) return newerGroups(known, told);
  return told === NONE ? '' : told;
}

/** All groups of a user who is online: those of the service, and those of the tokens of connections. */
export function groupsOf(record: RecordState): ReadonlySet<string> {
  const names = new Set<string>();
  if (!isOnline(record)) return names;
  for (const name of givenNames(record.groups)) names.add(name);
  for (const { tokenGroups } of record.holds.values())
    for (const name of namesIn(tokenGroups)) names.add(name);
  return names;
}

/** What a change of one user's membership needs to know. */
export interface GroupAsk {
  readonly group: string;
  readonly isAdded: boolean;
  /** Groups that one user may be in. */
  readonly max: number;
  readonly moment: Moment;
}

/** Puts a user into a group, or takes the user out. Adding twice, or removing who is no member, changes nothing (rule GR3). */
export function changeMembership(record: RecordState, ask: GroupAsk): GroupAnswer {
  const { group, isAdded, max, moment } = ask;
  if (!isOnline(record)) return { kind: 'offline' };
  const given = givenNames(record.groups);
  const tokens = [...record.holds.values()].flatMap(({ tokenGroups }) => namesIn(tokenGroups));
  const isByToken = tokens.includes(group);
  const kind = isAdded || isByToken ? 'member' : 'removed';
  if (given.includes(group) === isAdded) return { kind };
  if (isAdded && !isByToken && new Set([...given, ...tokens]).size >= max) return { kind: 'full' };
  const names = isAdded ? [...given, group] : given.filter((name) => name !== group);
  const before = versionOf(record.groups);
  const version = Math.max(moment.wall, before + 1);
  record.groups = [version, ...names].join(BETWEEN);
  return { kind, step: { period: record.period, before, version } };
}

/** The text after a step that a node hears of. Undefined: it does not know the text before, and must ask for the whole. */
export function steppedGroups(
  text: string,
  { group, isAdded, step }: { readonly group: string; readonly isAdded: boolean; readonly step: GroupStep },
): string | undefined {
  if (versionOf(text) >= step.version) return text;
  if (versionOf(text) !== step.before) return undefined;
  const others = givenNames(text).filter((name) => name !== group);
  return [step.version, ...others, ...(isAdded ? [group] : [])].join(BETWEEN);
}
