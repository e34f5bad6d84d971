import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { makePrivateFolder } from '../config/make-folder.ts';
import type { Log } from '../logging/log.ts';
import { type Duty, periodKey } from '../protocol/periods.ts';
import { SETTLE_BATCH } from './settler.ts';
import { splitOnPoison } from './split-on-poison.ts';
import { describeError } from './sql-errors.ts';
import type { UserStore } from './user-store.ts';
import { writeFree } from './write-free.ts';

const FILE = 'left-logouts.json';
const PRIVATE_FILE = 0o600;

/** What SQL had not taken when a process stopped whose presence store does not outlive it. */
export interface LeftLogouts {
  /** The incarnation that stopped. */
  readonly node: string;
  /** Its last sign of life, wall clock. */
  readonly aliveAt: number;
  readonly duties: readonly Duty[];
}

/** Keeps them in a file of the data folder until the next start, beside those that are there already. */
export function keepLeftLogouts(dataDir: string, left: LeftLogouts): void {
  const path = join(dataDir, FILE);
  const earlier = readLeftLogouts(path)?.duties ?? [];
  // This process may have queued some of the earlier ones again.
  const duties = new Map([...earlier, ...left.duties].map((duty) => [periodKey(duty), duty]));
  makePrivateFolder(dataDir);
  replace(path, { ...left, duties: [...duties.values()] });
}

/**
 * Settles what the last process left, and returns those that SQL does not take: their rows are open, but their periods are over.
 * Rejects if SQL fails, or if the file cannot be read: to go on would lose logouts. To settle a logout again changes nothing, so
 * the file goes last. Logouts of users whose rows another program locks stay there until the next start, in case this process
 * dies before it settles them.
 */
export async function settleLeftLogouts(
  dataDir: string,
  options: {
    readonly users: Pick<UserStore, 'settle' | 'noteNodeAlive'>;
    readonly now: () => number;
    readonly log: Log;
  },
): Promise<readonly Duty[]> {
  const { users, now, log } = options;
  const path = join(dataDir, FILE);
  const left = readLeftLogouts(path);
  if (left === undefined) return [];
  await users.noteNodeAlive(left.node, left.aliveAt);
  const locked: Duty[] = [];
  const refused: Duty[] = [];
  for (let start = 0; start < left.duties.length; start += SETTLE_BATCH) {
    await splitOnPoison(left.duties.slice(start, start + SETTLE_BATCH), {
      async run(part) {
        locked.push(...(await writeFree(part, (free) => users.settle(free, now()))).locked);
      },
      poison: (duty, error) => {
        const { userId, period } = duty;
        log.error(
          { event: 'settlement-set-aside', userId, period, error: describeError(error) },
          'the database refuses a logout of the last process for good: its row stays open',
        );
        refused.push(duty);
        return Promise.resolve();
      },
    });
  }
  if (locked.length > 0) replace(path, { ...left, duties: locked });
  else rmSync(path);
  return [...locked, ...refused];
}

/** The old file stands until the new one is on the disk. */
function replace(path: string, left: LeftLogouts): void {
  const fresh = `${path}.new`;
  const file = openSync(fresh, 'w', PRIVATE_FILE);
  try {
    writeFileSync(file, JSON.stringify(left));
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(fresh, path);
}

/** A damaged one would end in SQL as a logout without a time, or without a reason. */
function isDuty({ userId, period, loginAt, logoutAt, reason, node }: Duty): boolean {
  return (
    [userId, period, loginAt, logoutAt].every(Number.isSafeInteger) &&
    typeof reason === 'string' &&
    typeof node === 'string'
  );
}

function readLeftLogouts(path: string): LeftLogouts | undefined {
  try {
    // To open a FIFO would wait for a writer forever.
    if (!statSync(path).isFile()) throw new Error('it is no regular file');
    const left = JSON.parse(readFileSync(path, 'utf8')) as LeftLogouts;
    if (
      typeof left.node !== 'string' ||
      !Number.isSafeInteger(left.aliveAt) ||
      !Array.isArray(left.duties) ||
      !left.duties.every(isDuty)
    )
      throw new Error('it is no list of logouts');
    return left;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new Error(
      `${path} cannot be read (${describeError(error)}): put back a copy of it, or remove it, which loses these logouts.`,
      { cause: error },
    );
  }
}
