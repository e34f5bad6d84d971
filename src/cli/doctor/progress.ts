import type { Clock } from '../../lib/clock.ts';
import type { Cli } from '../cli.ts';

/** Shows the progress of a long wait. */
export interface Progress {
  during<Value>(what: string, expectedMs: number, work: Promise<Value>): Promise<Value>;
}

const QUIET: Progress = { during: (_what, _expectedMs, work) => work };

/** A spinner with the seconds left on a terminal; nothing elsewhere. */
export async function progressFor(cli: Cli): Promise<Progress> {
  if (!cli.isTerminal) return QUIET;
  const { spinner } = await import('@clack/prompts');
  return {
    async during(what, expectedMs, work) {
      const line = spinner();
      line.start(`${what}: ${secondsLeft(expectedMs)}`);
      const end = cli.clock.monotonic() + expectedMs;
      const ticks = countDown(cli.clock, () =>
        line.message(`${what}: ${secondsLeft(Math.max(0, end - cli.clock.monotonic()))}`),
      );
      try {
        return await work;
      } finally {
        ticks.cancel();
        line.clear();
      }
    },
  };
}

function countDown(clock: Clock, show: () => void): { cancel(): void } {
  return clock.every(500, show);
}

function secondsLeft(ms: number): string {
  return `${Math.ceil(ms / 1000)} s`;
}
