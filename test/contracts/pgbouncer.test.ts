import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway-process.ts';
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts';
import { eventually } from '../support/ports.ts';
import { type PostgresDatabase, type PostgresServer, startPostgres } from '../support/services.ts';
import { createUsers, freshUser } from '../support/stores.ts';
import { connect, refusal } from '../support/ws-client.ts';

const SQL_TIMEOUT_MS = 2_000;

describe.each(['bun', 'node'] as const)('PostgreSQL through PgBouncer on %s', (runtime) => {
  let postgres: PostgresServer;
  let game: PostgresDatabase;
  let pooler: PgBouncer;
  let gateway: Gateway;
  const serve = (databaseUrl: string): Promise<Gateway> =>
    startGateway({
      runtime,
      stores: 'embedded',
      env: { DATABASE_URL: databaseUrl, LINGXI_SQL_TIMEOUT_MS: String(SQL_TIMEOUT_MS) },
    });

  beforeAll(async () => {
    postgres = await startPostgres();
    game = await postgres.createDatabase('game');
    await createUsers(game);
    // One connection to the server would be enough. With two, the reconciler's lock and a statement can run at the same time.
    pooler = await startPgBouncer({
      postgresPort: postgres.port,
      poolMode: 'transaction',
      settings: ['default_pool_size = 4'],
    });
    gateway = await serve(pooler.url('game'));
  });
  afterAll(async () => {
    await gateway?.stop();
    await pooler?.stop();
    await game?.stop();
    await postgres?.stop();
  });

  const periodsOf = (user: number) =>
    game.query('SELECT settled_at FROM lingxi_periods WHERE user_id = $1', [user]);

  it('with pool_mode=transaction the gateway migrates, accepts users, and settles their logouts', async () => {
    const user = freshUser();
    const client = await connect(gateway.wsUrl, {
      token: gateway.token(user),
      protocols: ['lingxi.v1'],
    });
    await client.next('welcome');
    expect(await periodsOf(user)).toEqual([{ settled_at: null }]);
    client.send({ type: 'logout' });
    await client.closed;
    await eventually(async () => expect(await periodsOf(user)).toEqual([{ settled_at: expect.any(Date) }]));
    const [row] = await game.query('SELECT last_spirit_gain_time AS at FROM users WHERE id = $1', [user]);
    expect(row?.['at']).toBeInstanceOf(Date);
  });

  it('a locked row delays a login no longer than the timeout, also on the database server', async () => {
    const user = freshUser();
    await game.rival(async (query) => {
      await query('SELECT id FROM users WHERE id = $1 FOR UPDATE', [user]);
      const refused = await refusal(gateway.wsUrl, { token: gateway.token(user) });
      expect(refused.status).toBe(503);
      await eventually(async () => {
        const waiting = await game.query(
          "SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = 'game'",
        );
        expect(waiting).toEqual([]);
      });
    });
    const client = await eventually(() => connect(gateway.wsUrl, { token: gateway.token(user) }));
    client.terminate();
  });

  it('the gateway leaves no changed setting on connections that other programs share', async () => {
    for (let round = 0; round < 8; round += 1) {
      const found = await ask(pooler.url('game'), "SELECT current_setting('statement_timeout') AS t");
      expect(found).toEqual([{ t: '0' }]);
    }
  });

  it('the gateway works the same with pool_mode=session, and if PgBouncer silently ignores the parameters', async () => {
    const session = await startPgBouncer({
      postgresPort: postgres.port,
      poolMode: 'session',
      settings: ['ignore_startup_parameters = statement_timeout, idle_in_transaction_session_timeout'],
    });
    const other = await serve(session.url('game'));
    try {
      const user = freshUser();
      await game.rival(async (query) => {
        await query('SELECT id FROM users WHERE id = $1 FOR UPDATE', [user]);
        expect((await refusal(other.wsUrl, { token: other.token(user) })).status).toBe(503);
      });
      const client = await eventually(() => connect(other.wsUrl, { token: other.token(user) }));
      client.terminate();
    } finally {
      await other.stop();
      await session.stop();
    }
  });
});

/** One statement on a separate connection, as from another program. */
async function ask(url: string, text: string): Promise<readonly unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}
