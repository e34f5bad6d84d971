import { describe, expect, it } from 'vitest';
import { Api } from '../../../src/cli/doctor/api.ts';
import { Mismatch } from '../../../src/cli/doctor/check.ts';
import { serverChecks } from '../../../src/cli/doctor/server-checks.ts';
import type { ServerUnderTest } from '../../../src/cli/doctor/server-under-test.ts';

describe('doctor', () => {
  /** The check of readiness, on a server with this answer. */
  function readiness(status: number, body: Readonly<Record<string, unknown>>): Promise<string> {
    const api = Object.assign(new Api('http://server'), {
      get: () => Promise.resolve({ status, body, seen: `${status} ${JSON.stringify(body)}` }),
    });
    const check = serverChecks.find(({ name }) => name === 'readiness') ?? expect.fail('no such check');
    return check.run({ api } as unknown as ServerUnderTest);
  }

  it('doctor reads readiness from the body, not only from the status', async () => {
    expect(await readiness(200, { status: 'ok' })).toContain('200');
    await expect(readiness(200, { status: 'degraded' })).rejects.toThrow(Mismatch);
    await expect(readiness(200, {})).rejects.toThrow(Mismatch);
    await expect(readiness(503, { status: 'unavailable' })).rejects.toThrow(Mismatch);
  });
});
