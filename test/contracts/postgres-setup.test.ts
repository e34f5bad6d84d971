import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REPOSITORY } from '../support/cache.ts';
import { startChild } from '../support/child.ts';
import {
  GATEWAY_COMMAND,
  gatewayEnvironment,
  type Runtime,
  startGateway,
} from '../support/gateway-process.ts';
import { type PostgresDatabase, type PostgresServer, startPostgres } from '../support/services.ts';
import { connect } from '../support/ws-client.ts';

/** Runs a command of the product to its end in its own folder. */
async function ended(command: readonly string[], env: Readonly<Record<string, string>>, runtime: Runtime) {
  const folder = mkdtempSync(join(tmpdir(), 'lingxi-setup-'));
  let out = '';
  const child = startChild(process.execPath, command, {
    cwd: folder,
    env: gatewayEnvironment(
      {
        runtime,
        stores: 'embedded',
        env: { JWT_SECRET: undefined, LINGXI_API_KEY: undefined, ...env },
      },
      folder,
    ),
    removeOnDeath: folder,
    onStdout: (text) => {
      out += text;
    },
  });
  const { code } = await child.exited;
  rmSync(folder, { recursive: true, force: true });
  return { code, out, output: child.output() };
}

const MIGRATE = [join(REPOSITORY, 'bin/lingxi.js'), 'migrate'];

describe.each(['bun', 'node'] as const)(
  'setting up PostgreSQL with a separate role for the server on %s',
  { timeout: 90_000 },
  (runtime) => {
    let postgres: PostgresServer;
    let game: PostgresDatabase;
    const as = (role: string): string => {
      const url = new URL(game.url);
      url.username = role;
      return url.href;
    };
    beforeAll(async () => {
      postgres = await startPostgres();
      await postgres.query('CREATE ROLE keeper LOGIN');
      await postgres.query('CREATE ROLE "game-server" LOGIN');
      game = await postgres.createDatabase('game');
      await game.query('ALTER DATABASE game OWNER TO keeper');
      await game.query('CREATE TABLE users (id integer PRIMARY KEY, last_spirit_gain_time timestamptz)');
      await game.query('ALTER TABLE users OWNER TO keeper');
      await game.query('INSERT INTO users (id) VALUES (1)');
    });
    afterAll(async () => {
      await game?.stop();
      await postgres?.stop();
    });

    it('the start is refused; migrate needs no key and prints correct grants; then users can log in', async () => {
      const serve = { LOG_LEVEL: 'error', DATABASE_URL: as('game-server') };
      const early = await ended(GATEWAY_COMMAND, serve, runtime);
      expect(early.code).toBe(1);
      expect(early.output).toMatch(
        /permission denied.*run lingxi migrate --role game-server with a DATABASE_URL/,
      );

      const plain = await ended(MIGRATE, { NODE_ENV: 'production', DATABASE_URL: as('keeper') }, runtime);
      expect(plain).toMatchObject({ code: 0 });
      expect(plain.out).toMatch(/^Applied: 001-periods-and-nodes\.\n.*another role.*--role <name>/);
      expect(plain.out).toContain('TO <role of the server>;');
      expect(plain.out).not.toContain('keeper');

      const refused = await ended(GATEWAY_COMMAND, serve, runtime);
      expect(refused.code).toBe(1);
      const named = await ended(
        [...MIGRATE, '--role', 'game-server'],
        { NODE_ENV: 'production', DATABASE_URL: as('keeper') },
        runtime,
      );
      const grants = named.out.match(/GRANT .*;/g) ?? [];
      expect(grants).toHaveLength(4);
      for (const grant of grants) {
        expect(grant).toMatch(/ TO "game-server";$/);
        expect(refused.output).toContain(grant);
      }

      for (const grant of grants) await game.query(`SET ROLE keeper; ${grant} RESET ROLE;`);
      const gateway = await startGateway({
        runtime,
        stores: 'embedded',
        env: { DATABASE_URL: as('game-server'), LINGXI_MIGRATE: 'check' },
      });
      try {
        const client = await connect(gateway.wsUrl, { token: gateway.token(1) });
        client.terminate();
      } finally {
        await gateway.stop();
      }
    });
  },
);
