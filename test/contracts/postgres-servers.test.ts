import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { run } from '../support/child.ts';
import { type PostgresServer, startPostgres } from '../support/services.ts';

/** The server writes the id of its shared memory segment here. */
async function noteOf(server: PostgresServer): Promise<string> {
  const [row] = await server.query('SHOW data_directory');
  return join(String(row?.['data_directory']), 'postmaster.pid');
}

function segmentIn(note: string): string {
  return (readFileSync(note, 'utf8').split('\n')[6] ?? '').trim().split(/\s+/)[1] ?? '';
}

async function segments(): Promise<readonly string[]> {
  const lines = (await run('ipcs', ['-m'])).split('\n');
  return lines.map((line) => line.trim().split(/\s+/)[1] ?? '');
}

describe('a PostgreSQL of the tests', () => {
  it.each<[string, (server: PostgresServer) => Promise<unknown>]>([
    ['that is stopped', () => Promise.resolve()],
    ['that was killed', (server) => server.kill()],
    ['that is frozen', (server) => server.freeze()],
    ['that was killed and started again', (server) => server.kill().then(() => server.restart())],
  ])('%s leaves no shared memory behind', async (_, before) => {
    const server = await startPostgres();
    const note = await noteOf(server);
    expect(await segments()).toContain(segmentIn(note));
    await before(server);
    const segment = segmentIn(note);
    await server.stop();
    expect(await segments()).not.toContain(segment);
  });
});
