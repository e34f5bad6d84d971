import { writeSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { measureBatches } from './batches.ts';
import { measureBroadcast } from './broadcast.ts';
import { measureDashboard } from './dashboard.ts';
import { measureLogins } from './logins.ts';
import { measureNodes } from './nodes.ts';
import { measureRedisCommands } from './redis-commands.ts';
import { linesOf, type Row } from './rows.ts';
import { readSettings, type Settings } from './settings.ts';
import { measureSingles } from './singles.ts';
import { measureTimeouts } from './timeouts.ts';
import { measureToUsers } from './to-users.ts';

type Measurement = (settings: Settings) => Promise<readonly Row[]>;

const MEASUREMENTS: Readonly<Record<string, Measurement>> = {
  B1r: measureRedisCommands,
  B3: measureLogins,
  B4: measureToUsers,
  B5: measureBroadcast,
  B6: measureBatches,
  B8: measureTimeouts,
  B9: measureNodes,
  B13: measureSingles,
  B15: measureDashboard,
};

const [MET, MISSED, NOT_MEASURED] = [0, 1, 2];

/** Runs the measurements, prints a table of each, and answers the exit code: 0 where every goal was met. */
export async function measure(args: readonly string[]): Promise<number> {
  let settings: Settings;
  try {
    settings = readSettings(args, Object.keys(MEASUREMENTS));
  } catch (error) {
    complain(error);
    return NOT_MEASURED;
  }
  sayWhetherBusy();
  let code = MET;
  for (const name of settings.only) {
    try {
      const rows = (await MEASUREMENTS[name]?.(settings)) ?? [];
      // Figures of a small run are not kept: scripts/figures/known.mjs knows no line that begins so.
      for (const line of linesOf(rows, settings.isSmall ? 'small: ' : '')) say(line);
      if (rows.some(({ met }) => met === false)) code = Math.max(code, MISSED);
    } catch (error) {
      complain(error, `${name} was not measured: `);
      code = NOT_MEASURED;
    }
  }
  return code;
}

/** Beside other work the figures say little. */
function sayWhetherBusy(): void {
  const [load = 0] = loadavg();
  const cores = availableParallelism();
  if (load > cores / 2)
    say(`The machine is busy: load ${load.toFixed(1)} on ${cores} cores. Figures taken now say little.`);
}

/** At once: Bun keeps what is written to a file by process.stdout until the end. */
function say(line: string): void {
  writeSync(1, `${line}\n`);
}

function complain(error: unknown, before = ''): void {
  writeSync(2, `${before}${error instanceof Error ? error.message : String(error)}\n`);
}
