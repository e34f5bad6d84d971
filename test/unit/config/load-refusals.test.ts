import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { API_KEY, load, loaded, PRODUCTION, refusal, SECRET } from './load-setup.ts';

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

describe('a view key', () => {
  const VIEW_KEY = 'view-key-0123456789abcdef0123456789';

  it.each([
    ['LINGXI_API_KEY', API_KEY, /^LINGXI_VIEW_KEY is the same as LINGXI_API_KEY: .*could change everything/],
    ['JWT_SECRET', SECRET, /^LINGXI_VIEW_KEY is the same as JWT_SECRET: .*could sign tokens/],
  ])('that equals %s is refused, also as the second of two', (name, key, sentence) => {
    for (const viewKey of [key, `${VIEW_KEY},${key}`])
      expect(refusal({ env: { ...PRODUCTION, [name]: key, LINGXI_VIEW_KEY: viewKey } })).toMatch(sentence);
  });

  it('that is short is refused in production', () => {
    expect(refusal({ env: { ...PRODUCTION, LINGXI_VIEW_KEY: 'x'.repeat(23) } })).toMatch(/^LINGXI_VIEW_KEY/);
  });
});
