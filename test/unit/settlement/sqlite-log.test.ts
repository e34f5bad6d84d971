import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LOG_BYTES, lengthenLog, ROOM_BYTES } from '../../../src/settlement/sqlite-log.ts';

describe('the log of SQLite', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lingxi-log-'));
    file = join(folder, 'lingxi.db-wal');
    writeFileSync(file, 'frames');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('[ST8] gets its length after its contents, once', () => {
    lengthenLog(file, () => ROOM_BYTES);
    const lengthened = readFileSync(file);
    expect(lengthened.length).toBeGreaterThanOrEqual(LOG_BYTES);
    expect(lengthened.subarray(0, 8).toString()).toBe('frames\0\0');
    lengthenLog(file, () => ROOM_BYTES);
    expect(readFileSync(file).equals(lengthened)).toBe(true);
  });

  it('[ST8] does not change on a nearly full disk', () => {
    lengthenLog(file, () => ROOM_BYTES - 1);
    expect(readFileSync(file, 'utf8')).toBe('frames');
  });

  it('[ST8] is not created if there is none', () => {
    rmSync(file);
    lengthenLog(file, () => ROOM_BYTES);
    expect(() => readFileSync(file)).toThrow(/ENOENT/);
  });
});
