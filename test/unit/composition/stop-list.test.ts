import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { type Log, type LogFields, silentLog } from '../../../src/logging/log.ts';
import { StopList, type Stoppable } from '../../../src/stop-list.ts';

const NAMES: readonly Stoppable[] = ['user store', 'presence', 'settler', 'server', 'heartbeat'];
const IN_ORDER = ['server', 'heartbeat', 'presence', 'settler', 'user store'];

function listOf(broken?: Stoppable) {
  const errors: LogFields[] = [];
  const log: Log = { ...silentLog, error: (fields) => errors.push(fields) };
  const list = new StopList(log);
  const stopped: string[] = [];
  for (const name of NAMES)
    list.started(name, async () => {
      await Promise.resolve();
      stopped.push(name);
      if (name === broken) throw new Error('a bug');
    });
  return { list, stopped, errors };
}

describe('the stop list', () => {
  it('is stopped in the documented order, whatever the order of the start', async () => {
    const { list, stopped, errors } = listOf();
    await list.stop();
    expect(stopped).toEqual(IN_ORDER);
    expect(errors).toEqual([]);
  });

  it('is stopped once', async () => {
    const { list, stopped } = listOf();
    await Promise.all([list.stop(), list.stop()]);
    expect([...stopped].sort()).toEqual([...IN_ORDER].sort());
  });

  it('[DR1] is given up after a time, so that a store that hangs keeps no process', async () => {
    const { list } = listOf();
    const clock = new FakeClock();
    list.started('presence store', () => new Promise(() => {}));
    const stopped = list.stopWithin(clock, 1_000);
    await clock.advanceAsync(1_000);
    expect(await stopped).toBe(false);
    const whole = listOf();
    expect(await whole.list.stopWithin(clock, 1_000)).toBe(true);
  });

  it('a failure is logged and does not keep the others running', async () => {
    const { list, stopped, errors } = listOf('heartbeat');
    await list.stop();
    expect(stopped).toEqual(IN_ORDER);
    expect(errors).toMatchObject([{ event: 'internal-error', where: 'background', stopping: 'heartbeat' }]);
  });
});
