import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileSecretStore } from '../../../src/config/development-secrets.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { redisUrlFault } from '../../../src/redis/url.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lingxi-secrets-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function load(env: Record<string, string>, canMake = true) {
  return loadConfig({
    env,
    cwd: folder,
    readFile: () => undefined,
    redisUrlFault,
    secretStore: fileSecretStore(canMake ? randomBytes : undefined),
  });
}

describe('development secrets', () => {
  it('[contract 2] are made once and kept, and only their owner can read them', () => {
    const first = load({});
    const second = load({});
    if (!first.ok || !second.ok) throw new Error('refused');
    expect(first.value.config.jwtSecrets[0]).toMatch(/^[\w-]{43}$/);
    expect(second.value.config.jwtSecrets).toEqual(first.value.config.jwtSecrets);
    expect(second.value.config.apiKeys).toEqual(first.value.config.apiKeys);
    expect(first.value.config.apiKeys).not.toEqual(first.value.config.jwtSecrets);
    expect(first.value.newSecrets.map(({ variable }) => variable)).toEqual(['JWT_SECRET', 'LINGXI_API_KEY']);
    expect(second.value.newSecrets).toEqual([]);
    expect(readdirSync(join(folder, 'data')).sort()).toEqual(['api-key', 'jwt-secret']);
    expect(statSync(join(folder, 'data/api-key')).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(folder, 'data/api-key'), 'utf8').trim()).toBe(first.value.config.apiKeys[0]);
    expect(second.value.secretFiles.get('apiKeys')).toBe(join(folder, 'data/api-key'));
  });

  it('of another process that was quicker are used', () => {
    const path = join(folder, 'jwt-secret');
    const theirs = 'x'.repeat(43);
    const store = fileSecretStore((bytes) => {
      // Between the check and the creation.
      writeFileSync(path, theirs);
      return randomBytes(bytes);
    });
    expect(store.obtain('jwt-secret', folder)).toEqual({
      ok: true,
      value: { value: theirs, path, isNew: false },
    });
    expect(readdirSync(folder)).toEqual(['jwt-secret']);
  });

  it('are not made if they are given, if a public key verifies, or in production', () => {
    const given = {
      JWT_SECRET: 'a-secret-of-at-least-32-bytes-long',
      LINGXI_API_KEY: 'given-key-of-at-least-24-bytes',
    };
    expect(load(given).ok).toBe(true);
    expect(load({ ...given, NODE_ENV: 'production' }).ok).toBe(true);
    expect(existsSync(join(folder, 'data'))).toBe(false);
    const foreign = load({ LINGXI_API_KEY: 'given', JWT_JWKS_URL: 'https://id.example/jwks' });
    expect(foreign.ok && foreign.value.config.jwtSecrets).toEqual([]);
    expect(existsSync(join(folder, 'data'))).toBe(false);
  });

  it('are not made by a command that only reads', () => {
    const looked = load({}, false);
    expect(looked.ok && looked.value.config.apiKeys).toEqual([]);
    expect(existsSync(join(folder, 'data'))).toBe(false);
  });

  it('in an impossible folder are refused with one sentence', () => {
    writeFileSync(join(folder, 'file'), '');
    const result = load({ LINGXI_DATA_DIR: 'file' });
    expect(result).toEqual({
      ok: false,
      error: {
        message: `LINGXI_DATA_DIR (${join(folder, 'file')}) cannot hold the development secret jwt-secret (ENOTDIR): make the folder readable and writable, or set JWT_SECRET.`,
      },
    });
  });

  it('that are empty are refused, not replaced', () => {
    load({});
    const path = join(folder, 'data/api-key');
    writeFileSync(path, '');
    expect(load({})).toEqual({
      ok: false,
      error: { message: `${path} holds no usable secret: delete it and start again, and a new one is made.` },
    });
  });
});
