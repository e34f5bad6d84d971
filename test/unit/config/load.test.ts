import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { redisUrlFault } from '../../../src/redis/url.ts';
import { loaded, PRODUCTION, refusal, SECRET, type Setup } from './load-setup.ts';

describe('defaults', () => {
  it('[contract 2] nothing given: development on port 3000, embedded stores', () => {
    const { config, notices } = loaded({});
    expect(config).toMatchObject({
      port: 3000,
      host: 'localhost',
      environment: 'development',
      profile: 'none',
      runtime: 'auto',
      jwtSecrets: [],
      apiKeys: [],
      viewKeys: [],
      redisUrl: undefined,
      databaseUrl: undefined,
      dataDir: '/srv/game/data',
      redisTimeoutMs: 1000,
      sqlPool: 10,
      sqlTimeoutMs: 2000,
      migrate: 'auto',
      nodeName: 'node-7',
      heartbeatTimeoutMs: 10_000,
      httpTimeoutMs: 15_000,
      heartbeatMode: 'auto',
      pingIntervalMs: 3000,
      massTimeoutShare: 0.2,
      readTimeoutMs: 60_000,
      writeTimeoutMs: 10_000,
      dispatchQueue: 256,
      sendQueue: 64,
      sendQueueBytes: 1_048_576,
      overflow: 'drop-newest',
      pushRatePerUser: 0,
      sessionPolicy: 'replace',
      maxConnectionsPerUser: 5,
      maxConnections: 100_000,
      maxConnectionsPerIp: 0,
      maxMessageBytes: 65_536,
      maxMessagesPerSecond: 50,
      maxBodyBytes: 1_048_576,
      loginsPerMinute: 60,
      allowedOrigins: 'any',
      trustedProxies: [],
      usersTable: 'users',
      usersIdColumn: 'id',
      usersTimeColumn: 'last_spirit_gain_time',
      unknownUsers: 'create',
      loginResetsTime: true,
      legacyOpenApi: false,
      queryToken: true,
      lastSeenTtlS: 2_592_000,
      periodsRetentionDays: 90,
      revocationsRetentionDays: 90,
      feedLength: 100_000,
      pushChannel: 'lingxi:push',
      pushStreamLength: 1_000_000,
      inboundLength: 100_000,
      shutdownDelayMs: 0,
      drainTimeoutMs: 30_000,
      logLevel: 'info',
      language: 'en',
    });
    expect(notices).toEqual([]);
  });

  it('[contract 2] production listens everywhere, and accepts no query token and only its own origin', () => {
    const { config } = loaded({ env: PRODUCTION });
    expect(config).toMatchObject({ host: '0.0.0.0', queryToken: false, allowedOrigins: 'same-origin' });
  });

  it('[contract 2] unknown users are refused if the database is not embedded', () => {
    expect(loaded({ env: { DATABASE_URL: 'postgres://u:p@db/game' } }).config.unknownUsers).toBe('reject');
  });

  it('the default ping interval shrinks with a short heartbeat timeout', () => {
    expect(loaded({ env: { LINGXI_HEARTBEAT_TIMEOUT_MS: '2000' } }).config.pingIntervalMs).toBe(600);
  });
});

describe('sources', () => {
  const files = {
    '/srv/game/.env': 'PORT=4001\nLOG_LEVEL=debug\nLINGXI_CONFIG=game.json\nUNRELATED=1\n',
    '/srv/game/game.json':
      '{"PORT": 4002, "LOG_LEVEL": "warn", "LINGXI_SQL_POOL": 3, "LINGXI_QUERY_TOKEN": false}',
  };

  it('[contract 2] the environment wins over .env, and .env over the file', () => {
    const { config, origins } = loaded({ env: { PORT: '4000' }, files });
    expect(config).toMatchObject({ port: 4000, logLevel: 'debug', sqlPool: 3, queryToken: false });
    expect([
      origins.get('port'),
      origins.get('logLevel'),
      origins.get('sqlPool'),
      origins.get('host'),
    ]).toEqual(['environment', '.env', 'game.json', 'default']);
  });

  it('an empty value counts as unset', () => {
    expect(loaded({ env: { PORT: '', LOG_LEVEL: '' }, files }).config).toMatchObject({
      port: 4001,
      logLevel: 'debug',
    });
  });

  it('a list in the file is a list', () => {
    const json = '{"LINGXI_ALLOWED_ORIGINS": ["https://a.example", "https://b.example:8443"]}';
    const { config } = loaded({ env: { LINGXI_CONFIG: 'c.json' }, files: { '/srv/game/c.json': json } });
    expect(config.allowedOrigins).toEqual(['https://a.example', 'https://b.example:8443']);
  });

  it('every secret may be given as the path of a file', () => {
    const { config, origins } = loaded({
      env: { JWT_SECRET_FILE: 'jwt', LINGXI_API_KEY_FILE: '/run/key', REDIS_URL_FILE: '/run/redis' },
      files: {
        '/srv/game/jwt': `${SECRET}\n`,
        '/run/key': 'key-one,key-two\r\n',
        '/run/redis': 'redis://:pw@r\n',
      },
    });
    expect(config).toMatchObject({
      jwtSecrets: [SECRET],
      apiKeys: ['key-one', 'key-two'],
      redisUrl: 'redis://:pw@r',
    });
    expect(origins.get('jwtSecrets')).toBe('file jwt');
  });

  it.each([
    [{ env: { LINGXI_CONFIG: 'no.json' } }, 'LINGXI_CONFIG names "no.json", which does not exist.'],
    [
      { env: { LINGXI_CONFIG: 'c.json' }, files: { '/srv/game/c.json': '[1' } },
      'LINGXI_CONFIG names "c.json", which is not a JSON object of variables.',
    ],
    [
      { env: { LINGXI_CONFIG: 'c.json' }, files: { '/srv/game/c.json': '{"PORT": {}}' } },
      'PORT in c.json must be a string, a number, true, false or a list of strings.',
    ],
    [
      { env: { LINGXI_CONFIG: 'c.json' }, files: { '/srv/game/c.json': '{"JWT_SECRTE": "x"}' } },
      'JWT_SECRTE (c.json) is not a known variable: did you mean JWT_SECRET?',
    ],
    [{ env: { JWT_SECRET_FILE: 'no' } }, 'JWT_SECRET_FILE names "no", which does not exist.'],
    [
      { env: { JWT_SECRET_FILE: 'e' }, files: { '/srv/game/e': '\n' } },
      'JWT_SECRET_FILE names "e", which is empty.',
    ],
    [
      { env: { LINGXI_API_KEY: 'k', LINGXI_API_KEY_FILE: 'f' } },
      'LINGXI_API_KEY and LINGXI_API_KEY_FILE are both set: keep one of them.',
    ],
  ] satisfies [Setup, string][])('%o is refused', (setup, sentence) => {
    expect(refusal(setup)).toBe(sentence);
  });

  it('an unreadable file is one sentence', () => {
    const result = loadConfig({
      env: {},
      cwd: '/srv',
      redisUrlFault,
      readFile() {
        throw Object.assign(new Error('denied'), { code: 'EACCES' });
      },
    });
    expect(result).toEqual({
      ok: false,
      error: { message: '.env cannot be read (EACCES): check its permissions.' },
    });
  });
});

describe('the profile seed', () => {
  it('[contract 8] changes defaults, accepts a short secret, and gives a notice of each with its risk', () => {
    const { config, notices, origins } = loaded({
      env: { LINGXI_PROFILE: 'seed', JWT_SECRET: 'xiuxian', DATABASE_URL: 'postgres://localhost/game' },
    });
    expect(config).toMatchObject({
      profile: 'seed',
      queryToken: true,
      legacyOpenApi: true,
      sessionPolicy: 'multi',
      unknownUsers: 'reject',
      lastSeenTtlS: 0,
      language: 'zh',
      jwtSecrets: ['xiuxian'],
    });
    expect(origins.get('sessionPolicy')).toBe('profile seed');
    expect(notices.map(({ variable, value }) => `${variable}=${value}`).sort()).toEqual([
      'JWT_SECRET=shorter than 32 bytes',
      'LINGXI_LANGUAGE=zh',
      'LINGXI_LAST_SEEN_TTL_S=0',
      'LINGXI_LEGACY_OPEN_API=true',
      'LINGXI_PROFILE=seed',
      'LINGXI_QUERY_TOKEN=true',
      'LINGXI_SESSION_POLICY=multi',
      'LINGXI_UNKNOWN_USERS=reject',
    ]);
    expect(notices.every(({ risk }) => risk.length > 20)).toBe(true);
  });

  it('accepts users without a row on the embedded database, which begins empty', () => {
    const { config, notices, origins } = loaded({ env: { LINGXI_PROFILE: 'seed' } });
    expect([config.unknownUsers, origins.get('unknownUsers')]).toEqual(['create', 'default']);
    expect(notices.map(({ variable }) => variable)).not.toContain('LINGXI_UNKNOWN_USERS');
    const chosen = loaded({ env: { LINGXI_PROFILE: 'seed', LINGXI_UNKNOWN_USERS: 'reject' } });
    expect(chosen.config.unknownUsers).toBe('reject');
  });

  it('[contract 8] does not override explicit settings', () => {
    const env = {
      ...PRODUCTION,
      LINGXI_PROFILE: 'seed',
      LINGXI_SESSION_POLICY: 'replace',
      LINGXI_LEGACY_OPEN_API: 'false',
      LINGXI_LANGUAGE: 'en',
    };
    const { config, notices } = loaded({ env });
    const { sessionPolicy, legacyOpenApi, language, queryToken } = config;
    expect([sessionPolicy, legacyOpenApi, language, queryToken]).toEqual(['replace', false, 'en', true]);
    expect(notices.map(({ variable }) => variable)).not.toContain('LINGXI_SESSION_POLICY');
  });
});
