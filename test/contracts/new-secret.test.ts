import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runLingxi } from '../support/lingxi-command.ts';

describe('lingxi token in a folder without a secret', () => {
  it('says on standard error that it made a secret, and prints only the token to standard output', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lingxi-token-'));
    try {
      const env = { LINGXI_DATA_DIR: join(folder, 'data') };
      const path = join(folder, 'data', 'jwt-secret');
      const first = await runLingxi(['token', '--user', '1'], { env });
      expect(first.code).toBe(0);
      expect(first.out).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
      expect(first.output).toContain(
        `JWT_SECRET is not set, so this command made a development secret and kept it in ${path}. Only a server with this data folder accepts the token.\n`,
      );
      expect(existsSync(path)).toBe(true);
      const second = await runLingxi(['token', '--user', '1'], { env });
      expect([second.code, second.output]).toEqual([0, `${second.out}\n`]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
