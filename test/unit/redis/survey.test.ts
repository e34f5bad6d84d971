import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { type MasterReport, newestMaster } from '../../../src/redis/survey.ts';
import type { HostAndPort } from '../../../src/redis/url.ts';

const at = (port: number): HostAndPort => ({ host: 'r', port });
const says = (port: number, epoch: number): Promise<MasterReport> =>
  Promise.resolve({ master: at(port), epoch });
const silent = new Promise<MasterReport>(() => {});
const refuses = (): Promise<MasterReport> => Promise.reject(new Error('connect ECONNREFUSED'));

function survey(...answers: readonly Promise<MasterReport>[]): {
  clock: FakeClock;
  found: Promise<HostAndPort>;
} {
  const clock = new FakeClock();
  const hosts = answers.map((_, index) => at(index + 1));
  const found = newestMaster(clock, hosts, (host) => answers[host.port - 1] ?? silent);
  return { clock, found };
}

describe('finding the master (ADR 0007)', () => {
  it('takes the newest configuration, not the most frequent or the first', async () => {
    expect(await survey(says(7, 4), says(8, 5), refuses()).found).toEqual(at(8));
    expect(await survey(says(8, 5), says(7, 4), refuses()).found).toEqual(at(8));
  });

  it('decides once more than half have answered', async () => {
    expect(await survey(says(7, 1), says(7, 1), silent).found).toEqual(at(7));
  });

  it('decides 0.1 s after the first answer if the others hang', async () => {
    const { clock, found } = survey(says(7, 1), silent, silent);
    let known: HostAndPort | undefined;
    void found.then((master) => {
      known = master;
    });
    await Promise.resolve();
    await Promise.resolve();
    clock.advance(99);
    await Promise.resolve();
    expect(known).toBeUndefined();
    clock.advance(1);
    expect(await found).toEqual(at(7));
  });

  it('decides from one answer if all others refuse', async () => {
    expect(await survey(refuses(), refuses(), says(7, 1)).found).toEqual(at(7));
  });

  it('fails if no server answers, and the sentence says why', async () => {
    await expect(survey(refuses(), refuses()).found).rejects.toThrow(/^r:\d: connect ECONNREFUSED$/);
    await expect(survey().found).rejects.toThrow('no host is known');
  });
});
