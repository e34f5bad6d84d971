import type { Cell, Subject } from './rows.ts';

const SIZES = [10_000, 100_000, 1_000_000];
/** Average length of a user's session. */
const SESSION_S = 600;
const GIGABYTE = 1_073_741_824;

/** The cost of one user, from the cells of a run. NaN if a figure is missing. */
export interface Costs {
  /** CPU of a user who pings once a second, in µs a second. */
  readonly ping: number;
  /** The same with one ping in 25 s. */
  readonly idle: number;
  /** Resident memory and kernel memory of a connection, in bytes. */
  readonly connection: number;
  /** CPU of one login with Redis and PostgreSQL, in µs. */
  readonly login: number;
  /** Share of a Redis core that one held user needs. */
  readonly redisShare: number;
  readonly redisBytes: number;
}

export function costsOf(cells: readonly Cell[], subject: Subject): Costs {
  const find = (pattern: RegExp, of: Subject): Cell | undefined =>
    cells.filter((cell) => cell.subject === of && pattern.test(cell.line)).at(-1);
  const value = (pattern: RegExp, of: Subject = subject): number => find(pattern, of)?.value ?? Number.NaN;
  const opens = cells.find(({ line }) => line.startsWith('B1 opens/s'));
  const [, users = 'NaN'] = / (\d+) connections/.exec(opens?.line ?? '') ?? [];
  const held = find(/^B11 .* share of a core/, 'lingxi-bun-redis');
  const [, heldUsers = 'NaN'] = /, (\d+) users/.exec(held?.line ?? '') ?? [];
  /** CPU per user and second: with Redis if that was measured. */
  const perUser = (pattern: RegExp): number => {
    const cell = find(pattern, `${subject}-redis` as Subject) ?? find(pattern, subject);
    const [, seconds = 'NaN'] = /for (\d+) s/.exec(cell?.line ?? '') ?? [];
    return ((cell?.value ?? Number.NaN) * 1e6) / (Number(users) * Number(seconds));
  };
  return {
    ping: perUser(/^B1 CPU for \d+ s, one ping a second/),
    idle: perUser(/^B1 CPU for \d+ s, one ping in 25 s/),
    connection: (value(/^B2 resident memory a connection/) + value(/^B2 kernel memory a connection/)) * 1024,
    login: value(/^B3 CPU of a login/),
    redisShare: (held?.value ?? Number.NaN) / 100 / Number(heldUsers),
    redisBytes: value(/^B11 .* memory a user/, 'lingxi-bun-redis'),
  };
}

/** A table of what this many users need, as lines of a page. */
export function modelTable(costs: Costs): readonly string[] {
  const line = (texts: readonly string[]): string => `| ${texts.join(' | ')} |`;
  const rows: readonly (readonly [string, (users: number) => string])[] = [
    ['cores for pings, one a second each', (users) => ((users * costs.ping) / 1e6).toFixed(2)],
    ['cores for pings, one in 25 s each', (users) => ((users * costs.idle) / 1e6).toFixed(2)],
    ['logins/s with sessions of 10 minutes', (users) => (users / SESSION_S).toFixed(0)],
    ['cores for them', (users) => (((users / SESSION_S) * costs.login) / 1e6).toFixed(2)],
    [
      'memory for connections, kernel included',
      (users) => `${((users * costs.connection) / GIGABYTE).toFixed(2)} GB`,
    ],
    ['Redis: cores, and as many primaries at least', (users) => (users * costs.redisShare).toFixed(2)],
    ['Redis: memory', (users) => `${((users * costs.redisBytes) / GIGABYTE).toFixed(2)} GB`],
  ];
  return [
    line(['', ...SIZES.map((size) => `${size.toLocaleString('en-US')} users`)]),
    line(['---', ...SIZES.map(() => '---:')]),
    ...rows.map(([head, cell]) =>
      line([head, ...SIZES.map((size) => (cell(size).includes('NaN') ? '?' : cell(size)))]),
    ),
  ];
}
