import { chmodSync, linkSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { err, ok, type Result } from '../lib/result.ts';
import { keepPrivate, makePrivateFolder } from './make-folder.ts';
import type { ConfigError } from './sources.ts';

export type SecretName = 'jwt-secret' | 'api-key';

export interface StoredSecret {
  readonly value: string;
  /** The file of the secret. */
  readonly path: string;
  /** Whether this call made it. */
  readonly isNew: boolean;
}

/** The source of development secrets. */
export interface SecretStore {
  /** The secret with that name; `undefined` if there is none yet and this call must not make one. */
  obtain(name: SecretName, dataDir: string): Result<StoredSecret | undefined, ConfigError>;
}

const SECRET_BYTES = 32;
const MIN_STORED_CHARACTERS = 32;

/**
 * Secrets in files of mode 0600 in the data folder. Two processes that start at once get the same secret.
 * @param random cryptographically strong bytes. Without it no secret is made.
 */
export function fileSecretStore(random?: (bytes: number) => Uint8Array): SecretStore {
  return {
    obtain(name, dataDir) {
      const path = join(dataDir, name);
      try {
        const present = readStored(path);
        if (random === undefined)
          return present === undefined ? ok(undefined) : checked(path, present, false);
        if (present !== undefined) {
          keepPrivate(path);
          return checked(path, present, false);
        }
        const isNew = create(path, dataDir, random);
        return checked(path, readStored(path) ?? '', isNew);
      } catch (error) {
        const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error);
        return err({
          message: `LINGXI_DATA_DIR (${dataDir}) cannot hold the development secret ${name} (${reason}): make the folder readable and writable, or set ${variableOf(name)}.`,
        });
      }
    },
  };
}

function checked(path: string, value: string, isNew: boolean): Result<StoredSecret, ConfigError> {
  if (value.length < MIN_STORED_CHARACTERS || !/^[\x21-\x7e]+$/.test(value) || value.includes(',')) {
    return err({
      message: `${path} holds no usable secret: delete it and start again, and a new one is made.`,
    });
  }
  return ok({ value, path, isNew });
}

function readStored(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Writes a temporary file and then links it to the name. So the name is complete or absent, and no existing file is replaced. */
function create(path: string, dataDir: string, random: (bytes: number) => Uint8Array): boolean {
  makePrivateFolder(dataDir);
  const secret = Buffer.from(random(SECRET_BYTES)).toString('base64url');
  const draft = `${path}.${Buffer.from(random(6)).toString('hex')}.new`;
  writeFileSync(draft, `${secret}\n`, { mode: 0o600, flag: 'wx' });
  try {
    chmodSync(draft, 0o600);
    linkSync(draft, path);
    return true;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EEXIST') return false;
    // Some file systems have no hard links.
    writeFileSync(path, `${secret}\n`, { mode: 0o600, flag: 'wx' });
    return true;
  } finally {
    unlinkSync(draft);
  }
}

function variableOf(name: SecretName): string {
  return name === 'jwt-secret' ? 'JWT_SECRET' : 'LINGXI_API_KEY';
}
