import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { eventually, sleep } from '../support/ports.ts';
import { type PostgresServer, startPostgres } from '../support/services.ts';
import { connect, refusal } from '../support/ws-client.ts';

/** On a busy machine, a login that nothing blocks may take half a second. */
const SQL_TIMEOUT_MS = 2000;
/** The check constraint of the operator's table forbids a time for this user. */
const REFUSED = 7;
/** The trigger of the operator's table forbids creating this user. */
const UNWANTED = 666;
const BEYOND_INT4 = 3_000_000_000;

describe.concurrent.each(['bun', 'node'] as const)('a login that SQL refuses on %s', (runtime) => {
  let postgres: PostgresServer;
  let gateway: Gateway;
  const env = () => ({
    DATABASE_URL: postgres.url,
    LINGXI_UNKNOWN_USERS: 'create',
    LINGXI_SQL_TIMEOUT_MS: String(SQL_TIMEOUT_MS),
  });
  beforeAll(async () => {
    postgres = await startPostgres();
    await postgres.query(`CREATE TABLE users (id integer PRIMARY KEY, last_spirit_gain_time timestamptz,
      CONSTRAINT seven_never_gains CHECK (id <> ${REFUSED} OR last_spirit_gain_time IS NULL))`);
    await postgres.query('INSERT INTO users (id) SELECT generate_series(1, 20)');
    await postgres.query(`CREATE FUNCTION keep_out() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN IF NEW.id = ${UNWANTED} THEN RAISE EXCEPTION 'no such player'; END IF; RETURN NEW; END $$`);
    await postgres.query(
      'CREATE TRIGGER keep_out BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION keep_out()',
    );
    gateway = await startGateway({
      runtime,
      stores: 'embedded',
      env: env(),
    });
  });
  afterAll(async () => {
    await gateway?.stop();
    await postgres?.stop();
  });

  const dial = async (user: number, language = 'en') => {
    const { status, body } = await refusal(gateway.wsUrl, {
      token: gateway.token(user),
      headers: { 'accept-language': language },
    });
    return { status, code: body['code'], error: String(body['error']) };
  };

  it.sequential('[ST9] permanently, by a check, gets 409 with its own sentence, and the log names the constraint', async () => {
    const [refused, neighbour] = await Promise.all([
      dial(REFUSED),
      connect(gateway.wsUrl, { token: gateway.token(1) }),
    ]);
    neighbour.terminate();
    expect(refused).toMatchObject({ status: 409, code: 'settlement-refused' });
    expect(refused.error).toMatch(/^The database refuses/);
    expect((await dial(REFUSED, 'zh')).error).toMatch(/数据库/);
    const line = await gateway.waitForLog('settlement-refused', ({ userId }) => userId === REFUSED);
    expect(line).toMatchObject({ level: 'warn', sqlState: '23514', constraint: 'seven_never_gains' });
    expect(String(line['error'])).toContain('seven_never_gains');
    const http = await gateway.service('POST', '/api/online/login', { playerId: REFUSED });
    expect([http.status, http.body['code']]).toEqual([409, 'settlement-refused']);
    const status = await gateway.service('POST', '/api/online/status', { userIds: [REFUSED] });
    expect(status.body['results']).toMatchObject([{ status: 'offline' }]);
    expect(await postgres.query(`SELECT * FROM lingxi_periods WHERE user_id = ${REFUSED}`)).toEqual([]);
  });

  it.sequential('permanently, by a trigger on the creation of the user, gets 409 too', async () => {
    expect(await dial(UNWANTED)).toMatchObject({ status: 409, code: 'settlement-refused' });
    const line = await gateway.waitForLog('settlement-refused', ({ userId }) => userId === UNWANTED);
    expect(line).toMatchObject({ sqlState: 'P0001', error: 'no such player' });
  });

  it.sequential("[ST9] for now, because another program locks the row, gets 503, and the log has SQL's error", async () => {
    const user = 2;
    await postgres.rival(async (query) => {
      await query('SELECT id FROM users WHERE id = $1 FOR UPDATE', [user]);
      const refused = await dial(user);
      expect(refused).toMatchObject({ status: 503, code: 'settlement-unavailable' });
      expect(refused.error).toMatch(/in time/);
      await gateway.waitForLog(
        'settlement-failed',
        ({ sqlState, logins }) => sqlState === '55P03' && logins === 1,
      );
    });
    const client = await eventually(() => connect(gateway.wsUrl, { token: gateway.token(user) }));
    client.terminate();
  });

  it.sequential('with an id too large for the column gets the answer of an unknown user, also under create', async () => {
    const made = await connect(gateway.wsUrl, { token: gateway.token(2_147_483_647) });
    made.terminate();
    expect(await dial(BEYOND_INT4)).toMatchObject({ status: 404, code: 'unknown-user' });
    const http = await gateway.service('POST', '/api/online/login', { playerId: BEYOND_INT4 });
    expect([http.status, http.body['code']]).toEqual([400, 'unknown-user']);
    expect(await postgres.query(`SELECT * FROM lingxi_periods WHERE user_id = ${BEYOND_INT4}`)).toEqual([]);
  });

  it.sequential('[ST4] delays no other row after SQL returns, if logins need not wait for SQL', async () => {
    const patient = await startGateway({
      runtime,
      stores: 'embedded',
      env: { ...env(), LINGXI_LOGIN_RESETS_TIME: 'false' },
    });
    const enter = (user: number) => connect(patient.wsUrl, { token: patient.token(user) });
    try {
      await postgres.freeze();
      const first = await enter(UNWANTED);
      const second = await enter(11);
      const stops = [first.keepAlive(), second.keepAlive()];
      // The first attempt of both was given up. Only the rows that follow late remain, the refused one first.
      await sleep(SQL_TIMEOUT_MS + 500);
      postgres.thaw();
      await eventually(async () =>
        expect(await postgres.query('SELECT * FROM lingxi_periods WHERE user_id = 11')).toHaveLength(1),
      );
      await patient.waitForLog('settlement-refused', ({ userId }) => userId === UNWANTED);
      for (const stop of stops) stop();
      for (const client of [first, second]) client.terminate();
    } finally {
      postgres.thaw();
      await patient.stop();
    }
  }, 60_000);
});
