import type { Cell, Subject } from './rows.ts';

const SIZES = [10_000, 100_000, 1_000_000];
/** A session of a user lasts so long on average. */
const SESSION_S = 600;
const GIGABYTE = 1_073_741_824;

/** What one user costs, from the cells of a run. NaN where a figure is missing. */
export interface Costs {
  /** CPU of one ping, in µs. */
  readonly ping: number;
  /** Resident memory and kernel memory of a connection, in bytes. */
  readonly connection: number;
  /** CPU of one login with Redis and PostgreSQL, in µs. */
  readonly login: number;
  /** Share of a core of Redis that one user needs who is held. */
  readonly redisShare: number;
  readonly redisBytes: number;
}

export function costsOf(cells: readonly Cell[], subject: Subject): Costs {
  const find = (pattern: RegExp, of: Subject): Cell | undefined =>
    cells.filter((cell) => cell.subject === of && pattern.test(cell.line)).at(-1);
  const value = (pattern: RegExp, of: Subject = subject): number => find(pattern, of)?.value ?? Number.NaN;
  const pings = find(/^B1 CPU for \d+ s, one ping a second/, subject);
  const [, seconds = 'NaN'] = /for (\d+) s/.exec(pings?.line ?? '') ?? [];
  const opens = cells.find(({ line }) => line.startsWith('B1 opens/s'));
  const [, users = 'NaN'] = / (\d+) connections/.exec(opens?.line ?? '') ?? [];
  const held = find(/^B11 .* share of a core/, 'lingxi-bun-redis');
  const [, heldUsers = 'NaN'] = /, (\d+) users/.exec(held?.line ?? '') ?? [];
  return {
    ping: ((pings?.value ?? Number.NaN) * 1e6) / (Number(users) * Number(seconds)),
    connection: (value(/^B2 resident memory a connection/) + value(/^B2 kernel memory a connection/)) * 1024,
    login: value(/^B3 CPU of a login/),
    redisShare: (held?.value ?? Number.NaN) / 100 / Number(heldUsers),
    redisBytes: value(/^B11 .* memory a user/, 'lingxi-bun-redis'),
  };
}

/** A table of what so many users need, as lines of a page. */
export function modelTable(costs: Costs): readonly string[] {
  const line = (texts: readonly string[]): string => `| ${texts.join(' | ')} |`;
  const rows: readonly (readonly [string, (users: number) => string])[] = [
    ['cores for pings, one a second each', (users) => ((users * costs.ping) / 1e6).toFixed(2)],
    ['cores for pings, one in 25 s each', (users) => ((users * costs.ping) / 25e6).toFixed(2)],
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
