import { join } from 'node:path';
import Database from 'libsql';
import { describe, expect, it } from 'vitest';
import { duty, opening, openStore, sqliteDatabase } from '../support/user-stores.ts';

describe('the embedded user store', () => {
  it('[ST7] writes again after another program had locked the file, whatever failed meanwhile', async () => {
    const files = sqliteDatabase();
    const store = await openStore({ ...files.options, unknownUsers: 'create', sqlTimeoutMs: 50 });
    const period = { userId: 1, period: 1_000 };
    const { dataDir } = files.options;
    try {
      await store.open([opening(period)]);
      await store.noteNodeAlive('a', 1);
      const other = new Database(join(dataDir, 'lingxi.db'));
      other.exec('begin immediate');
      for (const refused of [
        store.noteNodeAlive('a', 2),
        store.settle([duty(period)], 2_000),
        store.open([opening({ userId: 2 })]),
      ])
        await expect(refused).rejects.toThrow('locked');
      other.exec('rollback');
      other.close();
      expect(await store.settle([duty(period)], 2_000)).toBeUndefined();
      await store.open([opening({ userId: 2 })]);
      expect(await files.rows('select settled_at from lingxi_periods where user_id = 1')).toEqual([
        { settled_at: 2_000 },
      ]);
    } finally {
      await store.close();
      await files.remove();
    }
  });
});
