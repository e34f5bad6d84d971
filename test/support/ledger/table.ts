import type { Evidence } from './books.ts';
import type { UserFacts } from './facts.ts';
import type { Site } from './site.ts';
import type { Violation } from './verdict.ts';

/** The events and the findings as lines of a table. */
export function tableOf(result: {
  readonly site: Site;
  readonly users: readonly UserFacts[];
  readonly options: { readonly seed: number };
  readonly evidence: Evidence;
  readonly violations: readonly Violation[];
}): string {
  const { site, users, evidence, violations } = result;
  const logins = users.flatMap((user) => user.logins);
  const rows = [...evidence.periods.values()].flat();
  const reasons = [...new Set(rows.map(({ reason }) => reason))].sort();
  const count = <Item>(items: readonly Item[], isMeant: (item: Item) => boolean): number =>
    items.filter(isMeant).length;
  const lines: readonly (readonly [string, number])[] = [
    ['seed', result.options.seed],
    ['users', users.length],
    ['nodes', site.nodes.length],
    ['logins accepted', count(logins, ({ outcome }) => outcome === 'in')],
    ['  by which a period went on', count(logins, ({ welcome }) => welcome?.resumed === true)],
    ['logins refused or unanswered', count(logins, ({ outcome }) => outcome !== 'in')],
    ['take-overs', users.reduce((sum, { takeovers }) => sum + takeovers, 0)],
    ['logouts asked for', users.reduce((sum, { logouts }) => sum + logouts.length, 0)],
    [
      '  of an older epoch',
      count(
        users.flatMap((user) => user.logouts),
        ({ epoch }) => epoch === 'old',
      ),
    ],
    [
      'proofs of life heard',
      count(
        users.flatMap((user) => user.beats),
        ({ to }) => to !== undefined,
      ),
    ],
    ...Object.entries(site.counts),
    ['periods in SQL', rows.length],
    ...reasons.map(
      (reason) => [`  ended by ${reason}`, count(rows, (row) => row.reason === reason)] as const,
    ),
    ['rows deleted', evidence.deleted.length],
    ['entries of the feed', evidence.feed.events.length],
    ...(['missing', 'double', 'stale'] as const).map(
      (kind) => [kind, count(violations, (violation) => violation.kind === kind)] as const,
    ),
  ];
  return lines.map(([name, value]) => `${name.padEnd(32)}${String(value).padStart(8)}`).join('\n');
}
