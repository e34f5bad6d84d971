import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { arch, availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os';
import { REPOSITORY } from '../test/support/cache.ts';
import { sleep } from '../test/support/ports.ts';
import type { Peer } from './servers/peers.ts';
import { withPeer } from './servers/peers.ts';
import { withLoad } from './servers/processes.ts';

/** The place and the versions of a run. */
export interface Machine {
  readonly date: string;
  readonly commit: string;
  readonly cores: number;
  readonly processor: string;
  readonly memoryGb: number;
  readonly system: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly load: number;
}

/** The speed that the machine had beside its other work, at one time. */
export interface Calm {
  /** The share of a core that a busy process got. */
  readonly coreShare: number;
  /** Messages a second of the floor; undefined if there is none. */
  readonly floorPerSecond: number | undefined;
}

const SPIN_MS = 400;
const FLOOR_CONNECTIONS = 200;
const FLOOR_SECONDS = 0.4;
/** With less than this share of a calm machine's speed, the machine counts as busy. */
const CALM_SHARE = 2 / 3;
const FLOOR_SHARE = 1 / 2;
const GIGABYTE = 1_073_741_824;

export function describeMachine(): Machine {
  const { dependencies } = JSON.parse(
    readFileSync(new URL('peers/package.json', import.meta.url), 'utf8'),
  ) as { readonly dependencies: Readonly<Record<string, string>> };
  const node = execFileSync(process.execPath, ['--version'], { encoding: 'utf8' }).trim().replace(/^v/, '');
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: commit(),
    cores: availableParallelism(),
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGb: Math.round(totalmem() / GIGABYTE),
    system: `${platform()} ${release()} ${arch()}`,
    versions: { node, bun: process.versions['bun'] ?? 'unknown', ...dependencies },
    load: loadavg()[0] ?? 0,
  };
}

export function machineLine({ cores, processor, memoryGb, system, versions }: Machine): string {
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `${cores} cores (${processor}), ${memoryGb} GB, ${system}; ${named.join(', ')}`;
}

/** Measures how much of the machine is free. */
export async function lookAtCalm(peers: readonly Peer[]): Promise<Calm> {
  const start = performance.now();
  const before = process.cpuUsage();
  while (performance.now() - start < SPIN_MS);
  const { user, system } = process.cpuUsage(before);
  const coreShare = (user + system) / 1000 / (performance.now() - start);
  if (!peers.includes('floor')) return { coreShare, floorPerSecond: undefined };
  const floorPerSecond = await withPeer('floor', (floor) =>
    withLoad(async (load) => {
      const { port } = await floor.call('port', {});
      await load.call('open', {
        ...{ port, secret: 'none', first: 1, count: FLOOR_CONNECTIONS, atOnce: FLOOR_CONNECTIONS },
      });
      await floor.call('random', { seconds: FLOOR_SECONDS });
      await sleep(FLOOR_SECONDS * 100);
      const { sent, ms } = await floor.call('random', { seconds: FLOOR_SECONDS });
      return (sent * 1000) / ms;
    }),
  );
  return { coreShare, floorPerSecond };
}

/** Why the figures between two measurements are unreliable, in a sentence. Undefined if the machine was calm. */
export function whyBusy(looks: readonly Calm[]): string | undefined {
  const shares = looks.map(({ coreShare }) => coreShare);
  const least = Math.min(...shares);
  const rates = looks.flatMap(({ floorPerSecond }) => (floorPerSecond === undefined ? [] : [floorPerSecond]));
  const rule = 'Figures taken now say little: run the bench again when nothing else runs.';
  if (least < CALM_SHARE)
    return `The machine was busy: a process that wanted a whole core got ${Math.round(least * 100)} % of one. ${rule}`;
  const [slow, fast] = [Math.min(...rates), Math.max(...rates)];
  if (rates.length > 1 && slow < fast * FLOOR_SHARE)
    return `The machine was busy: the floor sent ${Math.round(slow)} messages/s at one time and ${Math.round(fast)} at another. ${rule}`;
  return undefined;
}

function commit(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, {
      cwd: REPOSITORY,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    const isChanged = git('status', '--porcelain', '--untracked-files=no') !== '';
    return `${git('rev-parse', '--short', 'HEAD')}${isChanged ? ' with changes' : ''}`;
  } catch {
    return 'unknown';
  }
}
