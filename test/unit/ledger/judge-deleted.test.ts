import { describe, expect, it } from 'vitest';
import { readBooks } from '../../support/ledger/books.ts';
import { type Login, UserFacts } from '../../support/ledger/facts.ts';
import type { FeedEvent } from '../../support/ledger/feed.ts';
import { judge } from '../../support/ledger/verdict.ts';
import { NodeLife, World } from '../../support/ledger/world.ts';

const TIMEOUTS = { socket: 2_000, http: 3_000 };
/** The store chose this login time, and used it as the number of the period. */
const OPENED_AT = 1_000_000;

interface Story {
  readonly login?: Partial<Login>;
  /** A second login of the same user. */
  readonly other?: Partial<Login>;
  /** What the deletion noted of the row. */
  readonly deleted?: Readonly<Record<string, unknown>>;
  /** Another row in SQL, or the same one again. */
  readonly row?: Readonly<Record<string, unknown>>;
  readonly time?: number;
  readonly events?: readonly FeedEvent[];
}

const date = (at: number): Date => new Date(at);

/** The login of a user got 503, SQL took the row of its period all the same, and the node deleted the row. */
async function findings({
  login,
  other,
  deleted,
  row,
  time = OPENED_AT,
  events = [],
}: Story): Promise<string> {
  const world = new World(TIMEOUTS.socket);
  const life = new NodeLife('n1');
  world.lives.push(life);
  const facts = new UserFacts(7);
  const refused: Login = {
    ...{ via: 'v1', life, from: OPENED_AT - 40, to: OPENED_AT + 1_500, outcome: 'unknown' },
    ...{ welcome: undefined, loginTime: undefined, code: '503 settlement-unavailable' },
  };
  facts.logins.push({ ...refused, ...login });
  if (other !== undefined) facts.logins.push({ ...refused, ...other });
  const key = { user_id: 7, period: OPENED_AT };
  const deletion = { ...key, what: 'deleted', at: date(OPENED_AT + 2_000), old_login: date(OPENED_AT) };
  const ended = { login_at: date(OPENED_AT), last_seen_at: date(OPENED_AT), settled_at: date(OPENED_AT) };
  const rows = row === undefined ? [] : [{ ...key, ...ended, reason: 'reconciled', node: 'n1', ...row }];
  const answers: readonly (readonly [string, readonly Readonly<Record<string, unknown>>[]])[] = [
    ['settled_at IS NULL', []],
    ['lingxi_periods', rows],
    ['ledger_changes', [{ ...deletion, old_settled: null, old_logout: null, ...deleted }]],
    ['FROM users', [{ id: 7, time: date(time) }]],
  ];
  const books = await readBooks({
    postgres: { query: async (text) => answers.find(([part]) => text.includes(part))?.[1] ?? [] },
    redis: { cli: async () => '0' },
  });
  const evidence = { ...books, feed: { events, expired: 0 } };
  const found = judge({ users: [facts], evidence, world, timeouts: TIMEOUTS });
  return found.map(({ kind, text }) => `${kind}: ${text}`).join('\n');
}

const told = { userId: 7, period: OPENED_AT, at: OPENED_AT, cursor: `${OPENED_AT}-0`, reason: undefined };

describe('the ledger judges a deleted row', () => {
  it('[ST4] SQL took it late, its login got 503, and nobody was ever in the period: no fault', async () => {
    expect(await findings({})).toBe('');
    for (const via of ['seed', 'http'] as const) expect(await findings({ login: { via } })).toBe('');
  });

  it('[ST4] its client left before the node refused the login: no fault', async () => {
    expect(await findings({ login: { code: '0 ', to: OPENED_AT - 50 } })).toBe('');
    expect(await findings({ login: { via: 'http', code: '0 undefined', to: OPENED_AT - 50 } })).toBe('');
    expect(await findings({ login: { code: '0 ', to: OPENED_AT - 1_050 } })).toContain('double: ');
  });

  it('[ST2] it was settled: a double', async () => {
    const settled = { old_settled: date(OPENED_AT + 100), old_logout: date(OPENED_AT + 90) };
    expect(await findings({ deleted: { ...settled, old_reason: 'logout' } })).toContain('double: ');
    expect(await findings({ deleted: { old_logout: date(OPENED_AT + 90) } })).toContain('double: ');
  });

  it('[ST2] its login was accepted, by any kind of client: a double', async () => {
    const welcome = { period: OPENED_AT, epoch: OPENED_AT, resumed: false };
    const accepted = { outcome: 'in', code: undefined } as const;
    const later = { from: OPENED_AT + 1_600, to: OPENED_AT + 1_700 };
    for (const other of [
      { ...accepted, welcome },
      { ...accepted, ...later, welcome: { ...welcome, resumed: true } },
      { ...accepted, ...later, via: 'http', loginTime: OPENED_AT },
      { ...accepted, via: 'seed' },
    ] as const) {
      expect(await findings({ other })).toMatch(/double: .*deleted/);
      expect(await findings({ login: other })).toMatch(/double: .*deleted/);
    }
  });

  it('[ST4] a login that was accepted later began another period: no fault', async () => {
    const later = { from: OPENED_AT + 1_600, to: OPENED_AT + 1_700, outcome: 'in', code: undefined } as const;
    const period = OPENED_AT + 1_650;
    const row = { period, login_at: date(period), last_seen_at: date(period), logout_at: date(period + 50) };
    const welcome = { period, epoch: period, resumed: false };
    for (const other of [
      { ...later, welcome },
      { ...later, via: 'http', loginTime: period },
      { ...later, via: 'seed' },
    ] as const)
      expect(await findings({ other, row, time: period + 50 })).not.toContain('deleted');
  });

  it('[ST2] no login that SQL kept waiting began it: a double', async () => {
    for (const login of [
      { outcome: 'refused', code: '409 session-exists' },
      { code: '503 presence-unavailable' },
      { to: OPENED_AT - 100 },
      { from: OPENED_AT + 100 },
    ] as const)
      expect(await findings({ login })).toMatch(/double: .*deleted/);
  });

  it('[ST2] the refused login was of another user: a double', async () => {
    expect(await findings({ deleted: { user_id: 8 } })).toMatch(/double: 8:.*deleted/);
  });

  it('[ST2] the row is back at the end: a double', async () => {
    expect(await findings({ row: { logout_at: date(OPENED_AT) } })).toMatch(/double: .*deleted/);
  });

  it('[PR1] [ST2] the feed reported the period: a double', async () => {
    expect(await findings({ events: [{ ...told, type: 'online' }] })).toMatch(/double: .*deleted/);
  });

  it('[ST9] the login moved the time of the user to itself, and nothing else did', async () => {
    const earlier = { period: OPENED_AT - 9_000, login_at: date(OPENED_AT - 9_000) };
    const ended = { last_seen_at: date(OPENED_AT - 7_000), logout_at: date(OPENED_AT - 7_000) };
    const at = { from: OPENED_AT - 9_000, to: OPENED_AT + 1_500 };
    for (const time of [OPENED_AT - 7_000, OPENED_AT + 90])
      expect(await findings({ time, login: at, row: { ...earlier, ...ended } })).toContain(
        `missing: the user's time is ${time}`,
      );
    expect(await findings({ login: at, row: { ...earlier, ...ended } })).not.toContain('the user');
    expect(await findings({ time: OPENED_AT + 90 })).toContain(
      `missing: the user's time is ${OPENED_AT + 90}`,
    );
  });
});
