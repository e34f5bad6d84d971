import { type GroupStep, namesIn } from '../../protocol/groups.ts';
import type { Claim, GroupAnswer } from '../store/port.ts';
import { isOnline, type Moment, type RecordState } from './record.ts';

/*
 * The groups that the service gave to a user are one text: `version;name;name…`. It is empty if the period had no groups. The
 * version rises with each change and is at least the wall-clock time. So of two texts of one period the newer one has the
 * higher version, even if Redis lost changes and others followed (rule GR1).
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

/** The answer to a node that knows groups although the period has had none. */
const NONE = '0';

/** The groups that the answer to a claim must have: those of the service, if the node knows another version. Otherwise empty. */
export function untoldGroups({ groups }: RecordState, { serviceGroups }: Claim): string {
  if (versionOf(groups) === versionOf(serviceGroups)) return '';
  return groups === '' ? NONE : groups;
}

/**
 * The groups that a node knows after the answer to a claim. The store's groups count, even if the store went back in time.
 * But if the node has heard of a change since it made the claim, the newer text counts.
 */
export function heardGroups(
  known: string,
  { told, stated }: { readonly told: string; readonly stated: number },
): string {
  if (versionOf(known) !== stated) return newerGroups(known, told);
  return told === NONE ? '' : told;
}

/** All groups of a user who is online: those that the service gave, and those of the tokens of connections. */
export function groupsOf(record: RecordState): ReadonlySet<string> {
  const names = new Set<string>();
  if (!isOnline(record)) return names;
  for (const name of givenNames(record.groups)) names.add(name);
  for (const { tokenGroups } of record.holds.values())
    for (const name of namesIn(tokenGroups)) names.add(name);
  return names;
}

/** A change of one user's membership in one group. */
export interface GroupAsk {
  readonly group: string;
  readonly isAdded: boolean;
  /** Largest number of groups of one user. */
  readonly max: number;
  readonly moment: Moment;
}

/** Adds a user to a group, or removes the user. Adding a member, or removing a user who is not one, changes nothing (rule GR3). */
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

/** The text after a notice of a change. Undefined: the node lacks the version before it and must claim again. */
export function steppedGroups(
  text: string,
  { group, isAdded, step }: { readonly group: string; readonly isAdded: boolean; readonly step: GroupStep },
): string | undefined {
  if (versionOf(text) >= step.version) return text;
  if (versionOf(text) !== step.before) return undefined;
  const others = givenNames(text).filter((name) => name !== group);
  return [step.version, ...others, ...(isAdded ? [group] : [])].join(BETWEEN);
}
