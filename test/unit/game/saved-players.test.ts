import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { SavedPlayers } from '../../../src/game/saved-players.ts';

const kept = (spirit: number) => ({ userId: 1, username: 'Ann', spirit, power: 1, grownUntil: 1 });

it('the last write of a game waits for the one in progress, and is what a restart reads', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lingxi-game-'));
  try {
    const saved = new SavedPlayers(folder);
    const earlier = saved.write([kept(1)]);
    expect(await saved.write([kept(2)])).toBe(false);
    expect(await saved.writeLast([kept(3)])).toBe(true);
    expect(await earlier).toBe(true);
    expect(saved.read(10)).toMatchObject([{ spirit: 3 }]);
    expect(readdirSync(folder)).toHaveLength(1);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
