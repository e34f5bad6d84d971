import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Cli } from '../../../src/cli/cli.ts';
import { buildProgram } from '../../../src/cli/main.ts';
import { baseUrl, webSocketUrl } from '../../../src/cli/server-url.ts';
import { MAX_ACK_TIMEOUT_MS } from '../../../src/cluster/push-request.ts';
import { createCredentials } from '../../../src/gateway/token-credentials.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { silentLog } from '../../../src/logging/log.ts';
import { freePort } from '../../support/ports.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lingxi-cli-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

interface Ran {
  readonly out: readonly string[];
  readonly errors: readonly string[];
  readonly code: number;
}

async function run(
  argv: readonly string[],
  env: Record<string, string> = {},
  person: { readonly input?: string; readonly confirms?: boolean } = {},
): Promise<Ran> {
  const out: string[] = [];
  const errors: string[] = [];
  let code = 0;
  const cli: Cli = {
    env,
    cwd: folder,
    isTerminal: false,
    isInteractive: person.confirms !== undefined,
    readInput: async () => person.input,
    confirm: async () => person.confirms ?? expect.fail('nobody is there to answer'),
    clock: new FakeClock(),
    random: randomBytes,
    out: (line) => void out.push(line),
    error: (line) => void errors.push(line),
    setExitCode: (value) => {
      code = value;
    },
  };
  await buildProgram(cli).parseAsync(argv, { from: 'user' });
  return { out, errors, code };
}

const SECRET = 's'.repeat(32);

describe('lingxi', () => {
  it('[contract 1] every command has help with an example', () => {
    const program = buildProgram({} as Cli);
    expect(program.commands.map((command) => command.name())).toEqual([
      'serve',
      'token',
      'probe',
      'doctor',
      'push',
      'why',
      'nodes',
      'drain',
      'bench',
      'migrate',
      'check-config',
      'config-docs',
    ]);
    for (const command of program.commands) {
      let help = '';
      command.configureOutput({ writeOut: (text) => void (help += text) });
      command.outputHelp();
      expect(help, command.name()).toContain(`Example:\n  `);
    }
  });

  it('token signs only for a named user', async () => {
    const token = buildProgram({} as Cli).commands.find((command) => command.name() === 'token');
    token?.exitOverride().configureOutput({ writeErr: () => {} });
    await expect(token?.parseAsync([], { from: 'user' })).rejects.toThrow(
      "error: required option '--user <id>' not specified",
    );
  });

  it('token signs for the named user, with the configured secret', async () => {
    const { out, code } = await run(['token', '--user', '42', '--name', '云中子', '--expires-in', '60'], {
      JWT_SECRET: SECRET,
    });
    expect(code).toBe(0);
    const credentials = createCredentials({
      config: {
        jwtSecrets: [SECRET],
        jwtPublicKey: undefined,
        jwtJwksUrl: undefined,
        jwtIssuer: undefined,
        jwtAudience: undefined,
        apiKeys: [],
        viewKeys: [],
        maxGroupsPerUser: 50,
        language: 'en',
      },
      clock: new FakeClock(),
      log: silentLog,
    });
    const verified = await credentials.verifyUser(out[0] ?? '');
    expect(verified).toMatchObject({ ok: true, value: { userId: 42, username: '云中子' } });
  });

  it('token in a fresh folder makes the signing secret, but not the service key', async () => {
    await run(['token', '--user', '1']);
    expect(existsSync(join(folder, 'data/jwt-secret'))).toBe(true);
    expect(existsSync(join(folder, 'data/api-key'))).toBe(false);
  });

  it('token without a signing secret prints one sentence', async () => {
    const { errors, code } = await run(['token', '--user', '1'], { JWT_JWKS_URL: 'https://id.example/jwks' });
    expect(code).toBe(1);
    expect(errors).toEqual([
      'JWT_SECRET is not set here, so no token can be signed: set it, or pass a token.',
    ]);
  });

  it.each([
    [['check-config']],
    [['serve']],
    [['token', '--user', '1']],
    [['doctor']],
    [['migrate']],
    [['probe', '--user', '1']],
  ])('%s refuses a bad configuration with one sentence', async (argv) => {
    const { errors, out, code } = await run(argv, { LINGXI_SEND_QUEUE: '0' });
    expect({ errors, out, code }).toEqual({
      errors: ['LINGXI_SEND_QUEUE must be a whole number from 1 to 65536 (messages), not "0".'],
      out: [],
      code: 1,
    });
  });

  it('[security] check-config shows every value with its source, and no secret', async () => {
    const { out, code } = await run(['check-config'], {
      JWT_SECRET: `${SECRET},${'t'.repeat(32)}`,
      LINGXI_API_KEY: 'service-key',
      REDIS_URL: 'rediss://user:hunter2@redis:6380/2',
      DATABASE_URL: 'postgres://game:hunter2@db/game?password=hunter2',
      JWT_JWKS_URL: 'https://issuer:hunter2@keys.example/jwks?token=hunter2',
      JWT_ISSUER: 'https://u:hunter2@issuer.example/?realm=game&api_key=hunter2',
      LINGXI_SESSION_POLICY: 'multi',
    });
    expect(code).toBe(0);
    const text = out.join('\n');
    expect(text).not.toMatch(/hunter2|service-key|ssss|tttt/);
    expect(text).toMatch(/^JWT_SECRET +\*{8},\*{8} {2}\(environment\)$/m);
    expect(text).toMatch(/^REDIS_URL +rediss:\/\/\*{8}@redis:6380\/2 {2}\(environment\)$/m);
    expect(text).toMatch(/^DATABASE_URL +postgres:\/\/\*{8}@db\/game {2}\(environment\)$/m);
    expect(text).toMatch(/^JWT_JWKS_URL +https:\/\/\*{8}@keys\.example {2}\(environment\)$/m);
    expect(text).toMatch(/^JWT_ISSUER +https:\/\/\*{8}@issuer\.example\/\?realm=game&api_key=\*{8} {2}/m);
    expect(text).toMatch(/^LINGXI_SESSION_POLICY +multi {2}\(environment\)$/m);
    expect(text).toMatch(/^PORT +3000 {2}\(default\)$/m);
    expect(text).toMatch(/^LINGXI_ALLOWED_ORIGINS +\* {2}\(default\)$/m);
    expect(existsSync(join(folder, 'data'))).toBe(false);
  });

  it('migrate on the embedded database applies once and needs no grants', async () => {
    const first = await run(['migrate']);
    const second = await run(['migrate']);
    expect(first).toMatchObject({ code: 0, errors: [] });
    expect(first.out[0]).toMatch(/^Applied: /);
    expect(second.out).toEqual(['Nothing to apply.']);
  });

  it('migrate needs neither a JWT key nor a service key, in production too', async () => {
    const { code, errors, out } = await run(['migrate'], { NODE_ENV: 'production' });
    expect({ code, errors }).toEqual({ code: 0, errors: [] });
    expect(out[0]).toMatch(/^Applied: /);
    const served = await run(['serve'], { NODE_ENV: 'production' });
    expect(served.errors[0]).toMatch(/^JWT_SECRET is missing/);
  });

  it('doctor says what to do if nothing listens', async () => {
    const { out, code } = await run(['doctor', '--url', 'http://127.0.0.1:1', '--api-key', 'x']);
    expect(code).toBe(1);
    expect(out).toHaveLength(1);
    expect(out[0]).toMatch(/^✗ server: http:\/\/127\.0\.0\.1:1 gives no answer .*npm start/);
  });

  it('doctor without the service key says where to find it', async () => {
    const { errors, code } = await run(['doctor']);
    expect(code).toBe(1);
    expect(errors[0]).toMatch(/^LINGXI_API_KEY is not known here: .*--api-key\.$/);
  });

  it.each([[['push', 't', '--all']], [['why', '7']], [['nodes']], [['drain', 'a', '--yes']]])(
    '%j says what to do if nothing listens, or if the key is not known',
    async (argv) => {
      const url = `http://127.0.0.1:${await freePort()}`;
      expect(await run([...argv, '--url', url, '--key', 'k'])).toEqual({
        out: [],
        errors: [
          `${url} gives no answer (ECONNREFUSED): start the server, or name another address with --url.`,
        ],
        code: 1,
      });
      const { errors, code } = await run([...argv, '--url', url]);
      expect(code).toBe(1);
      expect(errors[0]).toMatch(/^LINGXI_API_KEY is not known here: .*--api-key\.$/);
    },
  );

  it.each([
    [['nodes', '--url', 'localhost:3000'], /^--url must be an address such as /],
    [['nodes', '--api-key', '密钥'], /^The service key must have visible ASCII characters only\.$/],
    [['push', 't', 'hello', '--user', '1'], /^The data is not JSON \(.*\)\. A text needs double quotes/],
    [['push', 't', '1'], /^Say who gets it, in one way: /],
    [['push', 't', '--user', '1', '--all'], /^Say who gets it, in one way: /],
    [['push', 't', '--all', '--ack'], /^--ack does not go with --all/],
    [['push', 't', '--user', '1', '--timeout-ms', '5'], /^--timeout-ms needs --ack/],
    [['drain', 'a'], /^Draining closes every connection of a: pass --yes if you mean it\.$/],
  ])('%j is refused with one sentence', async (argv, sentence) => {
    const { errors, code } = await run([...argv, '--key', 'k']);
    expect(code).toBe(1);
    expect(errors).toEqual([expect.stringMatching(sentence)]);
  });

  it('push waits for an acknowledgement at most as long as the server does', () => {
    const push = buildProgram({} as Cli).commands.find((command) => command.name() === 'push');
    expect(push?.helpInformation()).toContain(`at most ${MAX_ACK_TIMEOUT_MS}`);
  });

  it('drain asks a person on a terminal, and an undo does not ask', async () => {
    const argv = ['drain', 'a', '--key', 'k', '--url', `http://127.0.0.1:${await freePort()}`];
    expect((await run(argv, {}, { confirms: false })).errors).toEqual(['Nothing was done.']);
    expect((await run(argv, {}, { confirms: true })).errors[0]).toMatch(/gives no answer/);
    expect((await run([...argv, '--undo'])).errors[0]).toMatch(/gives no answer/);
  });

  it('push refuses standard input that is too long or not JSON', async () => {
    const argv = ['push', 't', '-', '--user', '1', '--key', 'k'];
    expect((await run(argv, {}, { input: '{"a":' })).errors[0]).toMatch(/^Standard input is not JSON /);
    expect((await run(argv)).errors).toEqual(['Standard input has more than 16777216 bytes.']);
  });

  it('probe without a user asks for one', async () => {
    const { errors, code } = await run(['probe']);
    expect({ errors, code }).toEqual({
      errors: ['Say who to connect as: --user <id> or --token <token>.'],
      code: 1,
    });
  });
});

describe('the address of a server', () => {
  it.each([
    [undefined, 'http://localhost:3000'],
    ['http://localhost:3000/', 'http://localhost:3000'],
    ['ws://127.0.0.1:8080/ws', 'http://127.0.0.1:8080'],
    ['https://game.example/lingxi/', 'https://game.example/lingxi'],
    ['http://[::1]:3000', 'http://[::1]:3000'],
    ['localhost:3000', undefined],
    ['ftp://a', undefined],
    ['nonsense', undefined],
  ])('%s is %s', (given, base) => {
    expect(baseUrl(given, undefined)).toBe(base);
  });

  it('the address of its socket follows from it', () => {
    expect(webSocketUrl('https://game.example')).toBe('wss://game.example/ws');
  });
});
