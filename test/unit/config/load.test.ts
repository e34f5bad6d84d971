import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type LoadedConfig, type LoadOptions, loadConfig } from '../../../src/config/load.ts';
import { redisUrlFault } from '../../../src/redis/url.ts';

const SECRET = 'a-development-secret-of-32-bytes!';
const API_KEY = 'service-key-of-24-bytes!';
const PRODUCTION = { NODE_ENV: 'production', JWT_SECRET: SECRET, LINGXI_API_KEY: API_KEY };

interface Setup {
  readonly env?: Record<string, string | undefined>;
  readonly files?: Record<string, string>;
  readonly secretStore?: LoadOptions['secretStore'];
}

function load({ env = {}, files = {}, secretStore }: Setup) {
  return loadConfig({
    env,
    cwd: '/srv/game',
    hostname: 'node-7',
    readFile: (path) => files[path],
    redisUrlFault,
    ...(secretStore === undefined ? {} : { secretStore }),
  });
}

function loaded(setup: Setup): LoadedConfig {
  const result = load(setup);
  if (!result.ok) throw new Error(result.error.message);
  return result.value;
}

function refusal(setup: Setup): string {
  const result = load(setup);
  return result.ok ? 'accepted' : result.error.message;
}

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
      feedLength: 100_000,
      pushChannel: 'lingxi:push',
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

describe('unknown names', () => {
  it.each([
    ['LINGXI_SESION_POLICY', 'did you mean LINGXI_SESSION_POLICY?'],
    ['LINGXI_HEARTBEAT_TIMEOUT', 'did you mean LINGXI_HEARTBEAT_TIMEOUT_MS?'],
    ['LINGXI_API_KEY_FLIE', 'did you mean LINGXI_API_KEY_FILE?'],
    ['lingxi_config'.toUpperCase().replace('CONFIG', 'CONFG'), 'did you mean LINGXI_CONFIG?'],
    ['LINGXI_ENTIRELY_SOMETHING_ELSE', 'remove it.'],
  ])('%s is refused', (name, advice) => {
    expect(refusal({ env: { [name]: 'x' } })).toBe(
      `${name} (environment) is not a known variable: ${advice}`,
    );
    expect(refusal({ files: { '/srv/game/.env': `${name}=x` } })).toBe(
      `${name} (.env) is not a known variable: ${advice}`,
    );
  });

  it('variables of other programs are ignored', () => {
    expect(load({ env: { PATH: '/bin', JWT_OTHER: 'x', LINGXIA: 'x' } }).ok).toBe(true);
  });
});

describe('bad values', () => {
  it.each([
    ['PORT', '65536', 'PORT must be a whole number from 0 to 65535 (0 takes a free port), not "65536".'],
    ['PORT', '3000 ', 'PORT must be a whole number from 0 to 65535 (0 takes a free port), not "3000 ".'],
    ['PORT', '1e3', 'PORT must be a whole number from 0 to 65535 (0 takes a free port), not "1e3".'],
    ['PORT', '-1', 'PORT must be a whole number from 0 to 65535 (0 takes a free port), not "-1".'],
    ['PORT', '0x10', 'PORT must be a whole number from 0 to 65535 (0 takes a free port), not "0x10".'],
    ['NODE_ENV', 'staging', 'NODE_ENV must be one of development, production, test, not "staging".'],
    ['LINGXI_PROFILE', 'sed', 'LINGXI_PROFILE must be one of none, seed, not "sed".'],
    [
      'LINGXI_SEND_QUEUE',
      '0',
      'LINGXI_SEND_QUEUE must be a whole number from 1 to 65536 (messages), not "0".',
    ],
    [
      'LINGXI_MASS_TIMEOUT_SHARE',
      '1.1',
      'LINGXI_MASS_TIMEOUT_SHARE must be a number from 0 to 1, as in 0.2, not "1.1".',
    ],
    ['LINGXI_QUERY_TOKEN', 'yes', 'LINGXI_QUERY_TOKEN must be true or false, not "yes".'],
    [
      'LINGXI_USERS_TABLE',
      'users; drop',
      'LINGXI_USERS_TABLE must be a table name such as users or game.users, or none, not "users; drop".',
    ],
    [
      'LINGXI_TRUSTED_PROXIES',
      '10.0.0.0/33',
      'LINGXI_TRUSTED_PROXIES must be a comma-separated list of address ranges such as 10.0.0.0/8, ::1/128, not "10.0.0.0/33".',
    ],
    [
      'LINGXI_ALLOWED_ORIGINS',
      'https://a.example/',
      'LINGXI_ALLOWED_ORIGINS must be a comma-separated list of exact origins such as https://game.example, or * alone, not "https://a.example/".',
    ],
    [
      'LINGXI_ALLOWED_ORIGINS',
      'null',
      'LINGXI_ALLOWED_ORIGINS must be a comma-separated list of exact origins such as https://game.example, or * alone, not "null".',
    ],
    [
      'LINGXI_ALLOWED_ORIGINS',
      'https://a.example,*',
      'LINGXI_ALLOWED_ORIGINS must be a comma-separated list of exact origins such as https://game.example, or * alone, not "https://a.example,*".',
    ],
    [
      'LINGXI_ALLOWED_ORIGINS',
      'https://*.example',
      'LINGXI_ALLOWED_ORIGINS must be a comma-separated list of exact origins such as https://game.example, or * alone, not "https://*.example".',
    ],
    [
      'LINGXI_ALLOWED_ORIGINS',
      'https://user:hunter2@a.example',
      'LINGXI_ALLOWED_ORIGINS must be a comma-separated list of exact origins such as https://game.example, or * alone, not "https://********@a.example".',
    ],
    [
      'LOG_LEVEL',
      'x\u001b[31m',
      'LOG_LEVEL must be one of fatal, error, warn, info, debug, trace, silent, not "x\\u001b[31m".',
    ],
  ])('%s=%j is refused', (variable, value, sentence) => {
    expect(refusal({ env: { [variable]: value } })).toBe(sentence);
  });

  it.each([
    ['DATABASE_URL', 'mysql://u:hunter2@db/game'],
    ['DATABASE_URL', 'postgres://u:hunter 2@db/game'],
    ['REDIS_URL', 'http://:hunter2@r'],
    ['JWT_SECRET', 'hunter2,hunter2'],
    ['JWT_SECRET', 'hunter2,,x'],
    ['LINGXI_API_KEY', 'hunter2 with spaces'],
    ['JWT_PUBLIC_KEY', 'hunter2'],
    ['JWT_JWKS_URL', 'ftp://u:hunter2@keys.example/jwks'],
    ['JWT_JWKS_URL', 'https://u:hunter2@a.example,b.example:x/jwks'],
  ])('the sentence does not repeat a bad %s', (variable, value) => {
    const sentence = refusal({ env: { [variable]: value } });
    expect(sentence).toMatch(new RegExp(`^${variable} must be .*\\.$`));
    expect(sentence).not.toContain('hunter2');
  });

  it.each([
    'redis://r',
    'rediss://:pw@r:6380/2',
    'redis+sentinel://a:26379,b:26379/mymaster/0',
    'redis+cluster://a:7000,b:7001',
    'rediss+cluster://a',
  ])('%s is a Redis address', (url) => {
    expect(loaded({ env: { REDIS_URL: url } }).config.redisUrl).toBe(url);
  });

  it('a REDIS_URL that names no deployment is refused with an example', () => {
    expect(refusal({ env: { REDIS_URL: 'redis+sentinel://:hunter2@a:26379,b:26379' } })).toBe(
      'REDIS_URL names no master after the Sentinels: write it as in redis+sentinel://:password@s1:26379,s2:26379,s3:26379/mymaster/0.',
    );
  });

  it('a public key may be written with escaped line breaks, a private key is refused', () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    expect(loaded({ env: { JWT_PUBLIC_KEY: pem.replaceAll('\n', '\\n') } }).config.jwtPublicKey).toBe(pem);
    const secret = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    expect(refusal({ env: { JWT_PUBLIC_KEY: secret } })).toMatch(/^JWT_PUBLIC_KEY must be a public key/);
  });

  it('a single address is a range of one', () => {
    const { config } = loaded({ env: { LINGXI_TRUSTED_PROXIES: '10.1.2.3, ::1, fd00::/8' } });
    expect(config.trustedProxies).toEqual(['10.1.2.3/32', '::1/128', 'fd00::/8']);
  });
});

describe('contradictions', () => {
  it.each([
    [
      { NODE_ENV: 'production', LINGXI_API_KEY: 'k' },
      'JWT_SECRET is missing: with NODE_ENV=production set JWT_SECRET, JWT_PUBLIC_KEY or JWT_JWKS_URL.',
    ],
    [
      { NODE_ENV: 'production', JWT_SECRET: SECRET },
      'LINGXI_API_KEY is missing: with NODE_ENV=production set it to a long random text.',
    ],
    [
      { JWT_SECRET: 'short' },
      'JWT_SECRET must have at least 32 bytes: make one with "openssl rand -base64 48".',
    ],
    [
      { JWT_SECRET: `${SECRET},short` },
      'JWT_SECRET must have at least 32 bytes: make one with "openssl rand -base64 48".',
    ],
    [
      { JWT_SECRET: SECRET, LINGXI_API_KEY: `other,${SECRET}` },
      'LINGXI_API_KEY is the same as JWT_SECRET: anyone with the service key could sign tokens; set two different ones.',
    ],
    [
      { ...PRODUCTION, LINGXI_API_KEY: 'service-key-of-23-bytes' },
      'LINGXI_API_KEY must have at least 24 bytes with NODE_ENV=production: make one with "openssl rand -base64 32".',
    ],
    [
      { ...PRODUCTION, LINGXI_API_KEY: `${API_KEY},short` },
      'LINGXI_API_KEY must have at least 24 bytes with NODE_ENV=production: make one with "openssl rand -base64 32".',
    ],
    [
      { ...PRODUCTION, LINGXI_API_KEY: 'changeme-'.repeat(4) },
      'LINGXI_API_KEY can be guessed, for it repeats a few characters: make one with "openssl rand -base64 32".',
    ],
    [
      { ...PRODUCTION, JWT_SECRET: 'x'.repeat(48) },
      'JWT_SECRET can be guessed, for it repeats a few characters: make one with "openssl rand -base64 48".',
    ],
    [
      { ...PRODUCTION, JWT_SECRET: `${SECRET},${'passwordpassword'.repeat(2)}` },
      'JWT_SECRET can be guessed, for it repeats a few characters: make one with "openssl rand -base64 48".',
    ],
    [
      { ...PRODUCTION, REDIS_URL: 'redis://r' },
      'REDIS_URL is set without DATABASE_URL: every node would settle into its own file; with NODE_ENV=production set DATABASE_URL as well.',
    ],
    [
      { LINGXI_PING_INTERVAL_MS: '10000' },
      'LINGXI_PING_INTERVAL_MS (10000) must be shorter than LINGXI_HEARTBEAT_TIMEOUT_MS (10000): a client could not answer in time.',
    ],
    [
      { LINGXI_USERS_TABLE: 'none', LINGXI_UNKNOWN_USERS: 'reject' },
      'LINGXI_UNKNOWN_USERS=reject needs a users table, but LINGXI_USERS_TABLE is none: unset one of them.',
    ],
    [
      { LINGXI_USERS_TABLE: 'game.lingxi_periods' },
      "LINGXI_USERS_TABLE must not be game.lingxi_periods: that table is Lingxi's own; name the table of your users.",
    ],
    [
      { LINGXI_USERS_ID_COLUMN: 'x', LINGXI_USERS_TIME_COLUMN: 'x' },
      'LINGXI_USERS_TIME_COLUMN must not be the same as LINGXI_USERS_ID_COLUMN: name the column of the logout time.',
    ],
  ])('%o is refused', (env, sentence) => {
    expect(refusal({ env })).toBe(sentence);
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
