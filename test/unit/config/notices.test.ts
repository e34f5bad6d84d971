import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { redisUrlFault } from '../../../src/redis/url.ts';

const SECRET = 'a-development-secret-of-32-bytes!';
const PRODUCTION = {
  NODE_ENV: 'production',
  JWT_SECRET: SECRET,
  LINGXI_API_KEY: 'service-key-of-24-bytes!',
};

function noticesOf(env: Record<string, string>) {
  const result = loadConfig({ env, cwd: '/srv/game', readFile: () => undefined, redisUrlFault });
  if (!result.ok) throw new Error(result.error.message);
  return result.value.notices;
}

describe('notices', () => {
  it('the open API gives a notice wherever it is on', () => {
    const notices = noticesOf({ LINGXI_LEGACY_OPEN_API: 'true' });
    expect(notices).toMatchObject([{ variable: 'LINGXI_LEGACY_OPEN_API', value: 'true' }]);
  });

  it.each(['0.0.0.0', '::', '192.0.2.7', 'game.example'])('development on %s gives a notice', (host) => {
    const notices = noticesOf({ HOST: host });
    expect(notices).toMatchObject([{ variable: 'HOST', value: host }]);
    expect(notices[0]?.risk).toContain('NODE_ENV=production');
  });

  it.each(['localhost', '127.0.0.1', '127.1.2.3', '::1'])('development on %s gives no notice', (host) => {
    expect(noticesOf({ HOST: host })).toEqual([]);
    expect(noticesOf({ ...PRODUCTION, HOST: '0.0.0.0' })).toEqual([]);
  });

  it('production gives a notice of each risk that it accepts', () => {
    const env = {
      ...PRODUCTION,
      LINGXI_ALLOWED_ORIGINS: '*',
      LINGXI_QUERY_TOKEN: 'true',
      JWT_JWKS_URL: 'http://user:hunter2@keys.example/jwks?token=hunter2',
      LINGXI_TRUSTED_PROXIES: '10.0.0.0/8,0.0.0.0/0,::/0,128.0.0.0/1,fd00::/16',
    };
    const notices = noticesOf(env);
    expect(notices.map(({ variable, value }) => `${variable}=${value}`)).toEqual([
      'LINGXI_QUERY_TOKEN=true',
      'LINGXI_ALLOWED_ORIGINS=*',
      'JWT_JWKS_URL=http://keys.example',
      'LINGXI_TRUSTED_PROXIES=0.0.0.0/0,::/0,128.0.0.0/1',
    ]);
    expect(notices.every(({ risk }) => risk.length > 20)).toBe(true);
  });

  it('a key server on this machine and ranges of one operator give no notice', () => {
    const env = {
      ...PRODUCTION,
      JWT_JWKS_URL: 'http://127.0.0.1:8080/jwks',
      LINGXI_TRUSTED_PROXIES: '10.0.0.0/8,::1,2001:db8::/32',
    };
    expect(noticesOf(env)).toEqual([]);
  });

  it('Redis without PostgreSQL gives a notice in development', () => {
    const notices = noticesOf({ REDIS_URL: 'redis://user:hunter2@r:6379/1' });
    expect(notices).toMatchObject([
      { variable: 'REDIS_URL', value: 'redis://r:6379/1 without DATABASE_URL' },
    ]);
    const both = { REDIS_URL: 'redis://r', DATABASE_URL: 'postgres://db/game' };
    expect(noticesOf(both)).toEqual([]);
  });

  it('the profile seed accepts a secret that can be guessed, and gives a notice', () => {
    const env = { ...PRODUCTION, LINGXI_PROFILE: 'seed', JWT_SECRET: 'x'.repeat(48) };
    expect(noticesOf(env)).toContainEqual(
      expect.objectContaining({ variable: 'JWT_SECRET', value: 'a few characters again and again' }),
    );
  });
});
