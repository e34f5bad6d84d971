import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sleep } from '../../lib/clock.ts';
import type { Cli } from '../cli.ts';
import { LoadClients, RunFailure, type Target } from './load-clients.ts';
import { type Summary, summarize } from './statistics.ts';

/** One sample of a soak. */
export interface Sample {
  readonly minutes: number;
  readonly rssBytes: number;
  /** Bytes apart from those of the connections. */
  readonly descriptors: number;
  /** Mean of the detection lag since the previous sample, in ms; NaN if nobody timed out. */
  readonly lagMs: number;
}

export interface SoakReport {
  readonly samples: readonly Sample[];
  /** Growth of resident memory after the warm-up, by the method of least squares; undefined if the time is too short. */
  readonly bytesPerMinute: number | undefined;
  readonly descriptorsBefore: number;
  readonly descriptorsAfter: number;
  /** Mean lag in the first third and in the last third. */
  readonly lagFirstMs: number;
  readonly lagLastMs: number;
  readonly lag: Summary;
  readonly joined: number;
  /** What grew, one sentence each. Empty: nothing grew. */
  readonly findings: readonly string[];
}

export interface SoakPlan {
  readonly minutes: number;
  readonly users: number;
  readonly firstUser: number;
  readonly loginsPerSecond: number;
}

/** The share of the users that is replaced each second. Half of them leave, the others become silent. */
const CHURN = 0.02;
const SAMPLES = 60;
const MIN_SAMPLE_MS = 1_000;
const WARM_UP_SHARE = 0.25;
/** The soak reports memory growth above this share in the time after the warm-up, and above this number of bytes. */
const GROWTH_SHARE = 0.2;
const GROWTH_BYTES = 20_000_000;
const MORE_DESCRIPTORS = 20;
const LAG_MS = 100;
/** After a start, a heap that fills looks like growth for some minutes. So a shorter soak says nothing about memory. */
export const MEMORY_MINUTES = 10;
/** A soak of this length has that much time after its warm-up. */
export const MINUTES_FOR_MEMORY = Math.ceil(MEMORY_MINUTES / (1 - WARM_UP_SHARE)) + 1;
const LINE_MS = 10_000;
const START_TIMEOUT_MS = 20_000;
const STEP_MS = 20;
const MINUTE_MS = 60_000;

/** Holds users, replaces a few each second, and looks for growth. */
export async function soak(
  cli: Cli,
  parts: { readonly target: Target; readonly readMetrics: () => Promise<string> },
  plan: SoakPlan,
): Promise<SoakReport> {
  const clients = new LoadClients(parts.target);
  const samples: Sample[] = [];
  const start = cli.clock.monotonic();
  const end = start + plan.minutes * MINUTE_MS;
  const everyMs = Math.max(MIN_SAMPLE_MS, (plan.minutes * MINUTE_MS) / SAMPLES);
  let joined = plan.users;
  let lag = { sum: 0, count: 0 };
  let sampleAt = start;
  let lineAt = start;
  try {
    const logins = await clients.joinAll(plan.firstUser, plan.users, plan.loginsPerSecond);
    const [refusal] = Object.keys(logins.refusals);
    if (refusal !== undefined) throw new RunFailure(`The server refused logins: ${refusal}.`);
    while (cli.clock.monotonic() < end) {
      clients.check();
      joined += await churn(clients, plan, joined);
      if (cli.clock.monotonic() >= sampleAt) {
        sampleAt += everyMs;
        const now = readSample(await parts.readMetrics());
        const count = now.lagCount - lag.count;
        const lagMs = count > 0 ? ((now.lagSum - lag.sum) / count) * 1000 : Number.NaN;
        lag = { sum: now.lagSum, count: now.lagCount };
        const minutes = (cli.clock.monotonic() - start) / MINUTE_MS;
        samples.push({ minutes, rssBytes: now.rssBytes, descriptors: now.descriptors, lagMs });
        if (cli.clock.monotonic() >= lineAt) {
          cli.error(sampleLine(samples.at(-1) as Sample));
          lineAt = cli.clock.monotonic() + LINE_MS;
        }
      }
      await sleep(cli.clock, 1000 - (cli.clock.monotonic() % 1000));
    }
    return judge(samples, { joined, lags: clients.lags });
  } finally {
    clients.stop();
  }
}

export function sampleLine({ minutes, rssBytes, descriptors, lagMs }: Sample): string {
  const lag = Number.isNaN(lagMs) ? 'nobody timed out' : `detection lag ${lagMs.toFixed(1)} ms`;
  const seconds = Math.round(minutes * 60);
  const time = `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
  return `${time}: ${(rssBytes / 1e6).toFixed(1)} MB, ${descriptors} descriptors, ${lag}`;
}

/** The conclusions from the samples. */
export function judge(
  samples: readonly Sample[],
  seen: { readonly joined: number; readonly lags: readonly number[] },
): SoakReport {
  const warm = samples.slice(Math.floor(samples.length * WARM_UP_SHARE));
  const [first, last] = [warm[0], warm.at(-1)];
  if (first === undefined || last === undefined || warm.length < 3)
    throw new RunFailure('The soak was too short to say anything: give more minutes.');
  const warmMinutes = last.minutes - first.minutes;
  const bytesPerMinute =
    warmMinutes < MEMORY_MINUTES
      ? undefined
      : slopeOf(warm.map(({ minutes, rssBytes }) => [minutes, rssBytes]));
  const growth = (bytesPerMinute ?? 0) * warmMinutes;
  const third = Math.ceil(warm.length / 3);
  const lagFirstMs = meanOf(warm.slice(0, third).map(({ lagMs }) => lagMs));
  const lagLastMs = meanOf(warm.slice(-third).map(({ lagMs }) => lagMs));
  return {
    ...{ samples, bytesPerMinute, lagFirstMs, lagLastMs, joined: seen.joined },
    ...{
      descriptorsBefore: first.descriptors,
      descriptorsAfter: last.descriptors,
      lag: summarize(seen.lags),
    },
    findings: [
      ...(growth > Math.max(GROWTH_BYTES, first.rssBytes * GROWTH_SHARE)
        ? [`Resident memory grew by ${(growth / 1e6).toFixed(1)} MB after the warm-up.`]
        : []),
      ...(last.descriptors > first.descriptors + MORE_DESCRIPTORS
        ? [`Open descriptors grew from ${first.descriptors} to ${last.descriptors}.`]
        : []),
      ...(lagLastMs > LAG_MS && lagLastMs > 2 * lagFirstMs
        ? [`The detection lag grew from ${lagFirstMs.toFixed(1)} to ${lagLastMs.toFixed(1)} ms.`]
        : []),
    ],
  };
}

/** The claims that a soak may make, in sentences: it claims no growth only if it measured for long enough. */
export function verdictOf({
  findings,
  bytesPerMinute,
  lagFirstMs,
  lagLastMs,
}: Pick<SoakReport, 'findings' | 'bytesPerMinute' | 'lagFirstMs' | 'lagLastMs'>): readonly string[] {
  const isLagKnown = !Number.isNaN(lagFirstMs) && !Number.isNaN(lagLastMs);
  if (findings.length > 0) return findings;
  if (bytesPerMinute !== undefined && isLagKnown) return ['Nothing grew.'];
  const judged = [
    ...(bytesPerMinute === undefined ? [] : ['memory']),
    'open descriptors',
    ...(isLagKnown ? ['the detection lag'] : []),
  ];
  const unknown = [
    ...(bytesPerMinute === undefined ? ['memory'] : []),
    ...(isLagKnown ? [] : ['the detection lag']),
  ];
  return [
    `No growth of ${judged.join(' and ')}. Too short to say whether ${unknown.join(' or ')} grows: give more minutes.`,
  ];
}

/** Replaces some users; returns the number of new ones. */
async function churn(clients: LoadClients, plan: SoakPlan, next: number): Promise<number> {
  const present = clients.userIds();
  const leaving = present.slice(0, Math.max(1, Math.round(present.length * CHURN)));
  for (const [index, userId] of leaving.entries())
    if (index % 2 === 0) clients.silence(userId);
    else clients.leave(userId);
  const missing = plan.users - clients.userIds().length;
  await Promise.all(
    Array.from({ length: missing }, (_, index) =>
      clients.join(plan.firstUser + next + index).catch((error: Error) => {
        throw new RunFailure(`The server refused a login: ${error.message}.`);
      }),
    ),
  );
  return missing;
}

function readSample(metrics: string) {
  const read = (name: string): number => {
    const [, value] = new RegExp(`^${name}(?:\\{[^}]*\\})? ([\\d.e+-]+)$`, 'm').exec(metrics) ?? [];
    if (value === undefined) throw new RunFailure(`The server reports no ${name}.`);
    return Number(value);
  };
  return {
    rssBytes: read('process_resident_memory_bytes'),
    descriptors: read('process_open_fds') - read('lingxi_connections'),
    lagSum: read('lingxi_detection_lag_seconds_sum'),
    lagCount: read('lingxi_detection_lag_seconds_count'),
  };
}

function slopeOf(points: readonly (readonly [number, number])[]): number {
  const meanX = meanOf(points.map(([x]) => x));
  const meanY = meanOf(points.map(([, y]) => y));
  const over = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const under = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return under === 0 ? 0 : over / under;
}

function meanOf(values: readonly number[]): number {
  const known = values.filter((value) => !Number.isNaN(value));
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}

/** A server of the soak's own, on embedded stores in a temporary folder. */
export async function startOwnServer(
  cli: Cli,
  secrets: { readonly apiKey: string; readonly jwtSecret: string },
): Promise<{ readonly base: string; stop(): void }> {
  const folder = mkdtempSync(join(tmpdir(), 'lingxi-soak-'));
  const program = fileURLToPath(new URL('../../../bin/lingxi.js', import.meta.url));
  const { PATH = '', HOME = '', LINGXI_RUNTIME = 'auto' } = cli.env;
  const child = spawn(process.execPath, [program, 'serve'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: {
      ...{ PATH, HOME, LINGXI_RUNTIME, PORT: '0', HOST: '127.0.0.1', LINGXI_DATA_DIR: join(folder, 'data') },
      ...{ LINGXI_API_KEY: secrets.apiKey, JWT_SECRET: secrets.jwtSecret, LOG_LEVEL: 'info' },
    },
  });
  let output = '';
  const stop = (): void => {
    // The server notices that the channel to this process is closed, and ends.
    child.kill('SIGTERM');
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', stop);
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-2_000);
  });
  const port = new Promise<number>((resolve) => {
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (part: string) => {
      text = (text + part).slice(-20_000);
      const [, found] = /"event":"started"[^\n]*"port":(\d+)/.exec(text) ?? [];
      if (found !== undefined) resolve(Number(found));
    });
  });
  const until = cli.clock.monotonic() + START_TIMEOUT_MS;
  const given = await Promise.race([
    port,
    (async () => {
      while (child.exitCode === null && child.signalCode === null && cli.clock.monotonic() < until)
        await sleep(cli.clock, STEP_MS);
      return undefined;
    })(),
  ]);
  if (given === undefined) {
    stop();
    throw new RunFailure(`The server of the soak did not start: ${output.trim() || 'it printed nothing'}`);
  }
  return { base: `http://127.0.0.1:${given}`, stop };
}
