import { describe, expect, it } from 'vitest';
import { DescriptorWatch } from '../../../src/gateway/descriptor-watch.ts';
import { FakeClock } from '../../../src/lib/fake-clock.ts';
import { type LogFields, silentLog } from '../../../src/logging/log.ts';

describe('the descriptor watch', () => {
  function watching() {
    const clock = new FakeClock();
    const lines: LogFields[] = [];
    const calls: string[] = [];
    const state = { left: 1_000, canListen: true };
    const watch = new DescriptorWatch({
      clock,
      log: { ...silentLog, warn: (fields) => void lines.push(fields) },
      server: {
        pause: () => void calls.push('pause'),
        resume() {
          calls.push(state.canListen ? 'resume' : 'cannot listen');
          return state.canListen;
        },
      },
      limit: 300,
      free: (wanted) => Math.min(wanted, state.left),
    });
    watch.start();
    return { clock, lines, calls, state, watch };
  }

  it('pauses the server once when few are left, and resumes it when there are enough', () => {
    const { clock, calls, state, lines } = watching();
    clock.advance(2_000);
    expect(calls).toEqual([]);
    state.left = 10;
    clock.advance(2_000);
    expect(calls).toEqual(['pause']);
    expect(lines).toEqual([{ event: 'descriptors-exhausted', exhausted: true, limit: 300 }]);
    state.left = 20;
    clock.advance(2_000);
    expect(calls).toEqual(['pause']);
    state.left = 100;
    clock.advance(200);
    expect(calls).toEqual(['pause', 'resume']);
  });

  it('retries if the server cannot listen again yet', () => {
    const { clock, calls, state } = watching();
    state.left = 0;
    clock.advance(200);
    state.left = 100;
    state.canListen = false;
    clock.advance(400);
    state.canListen = true;
    clock.advance(400);
    expect(calls).toEqual(['pause', 'cannot listen', 'cannot listen', 'resume']);
  });

  it('logs once a minute, however long and however often it happens', () => {
    const { clock, state, lines, watch } = watching();
    for (let second = 0; second < 59; second += 1) {
      state.left = second % 2 === 0 ? 0 : 100;
      clock.advance(1_000);
    }
    expect(lines).toHaveLength(1);
    state.left = 0;
    clock.advance(50_000);
    expect(lines).toHaveLength(2);
    watch.stop();
    clock.advance(600_000);
    expect(lines).toHaveLength(2);
  });
});
