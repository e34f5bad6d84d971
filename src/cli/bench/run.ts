import { readFileSync } from 'node:fs';
import type { Config } from '../../config/config.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import { type Cli, readConfig } from '../cli.ts';
import { networkReason } from '../doctor/api.ts';
import { badUrl, baseUrl, webSocketUrl } from '../server-url.ts';
import { ServiceApi } from '../service-api.ts';
import { tokenSigner } from '../token.ts';
import { RunFailure, type Target } from './load-clients.ts';
import { type BenchOptions, EXIT_NOT_MEASURED, type LoadOptions, type SoakOptions } from './options.ts';
import { plot } from './plot.ts';
import {
  MEMORY_MINUTES,
  MINUTES_FOR_MEMORY,
  type SoakReport,
  soak,
  startOwnServer,
  verdictOf,
} from './soak.ts';
import type { Summary } from './statistics.ts';
import { LIMITS, loadTarget, type TargetReport } from './target.ts';

/** A server with everything that a load on it needs. */
interface Opened {
  readonly base: string;
  readonly target: Target;
  readonly service: ServiceApi;
  readonly apiKey: string;
}

/** Chosen ids fit into int4, the type in some users tables, and are far above their sequence. */
const FIRST_PICKED = 2_000_000_000;
const PICKED_RANGE = 140_000_000;
const SOAK_LOGINS_PER_SECOND = 200;
const BUSY_SHARE = 0.9;
const BESIDE_SOCKETS = 100;
const HEALTH_TIMEOUT_MS = 10_000;

export async function runTarget(cli: Cli, options: BenchOptions): Promise<void> {
  await guarded(cli, async () => {
    const plan = {
      firstUser: options.firstUser ?? pickUser(cli),
      ...{ connections: options.connections, loginsPerSecond: options.loginsPerSecond },
      ...{ pushesPerSecond: options.pushesPerSecond, seconds: options.seconds },
      detection: options.detection === true,
    };
    for (const name of ['connections', 'loginsPerSecond', 'pushesPerSecond'] as const)
      limit(options, { name: flagOf(name), asked: plan[name], most: LIMITS[name] });
    requireDescriptors(plan.connections);
    const opened = await openTarget(cli, options);
    await requireHealth(opened.base);
    const report = await loadTarget(cli, opened, plan);
    if (options.json === true)
      cli.out(JSON.stringify({ complete: isWhole(report), target: opened.base, ...report }));
    else for (const line of linesOf(report)) cli.out(line);
    const gap = gapOf(report);
    if (gap !== undefined) throw new RunFailure(gap);
  });
}

export async function runSoak(cli: Cli, options: SoakOptions): Promise<void> {
  await guarded(cli, async () => {
    limit(options, { name: '--users', asked: options.users, most: LIMITS.connections });
    requireDescriptors(options.users);
    const own = options.target === undefined ? await ownServer(cli) : undefined;
    try {
      const opened = await openTarget(cli, own === undefined ? options : { ...options, ...own });
      await requireHealth(opened.base);
      const readMetrics = (): Promise<string> => readText(`${opened.base}/metrics`, opened.apiKey);
      const report = await soak(
        cli,
        { target: opened.target, readMetrics },
        {
          ...{ minutes: options.minutes, users: options.users, loginsPerSecond: SOAK_LOGINS_PER_SECOND },
          firstUser: options.firstUser ?? pickUser(cli),
        },
      );
      if (options.json === true) cli.out(JSON.stringify(report));
      else for (const line of soakLines(report)) cli.out(line);
      if (report.findings.length > 0) cli.setExitCode(1);
    } finally {
      own?.stop();
    }
  });
}

/** An incomplete run says why, and has its own exit code. Ctrl-C ends a run at once. */
async function guarded(cli: Cli, work: () => Promise<void>): Promise<void> {
  const interrupted = (): void => {
    cli.error('Interrupted. What was printed is not a whole run.');
    process.exit(EXIT_NOT_MEASURED);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.once(signal, interrupted);
  try {
    await work();
  } catch (error) {
    if (!(error instanceof RunFailure)) throw error;
    cli.error(error.message);
    cli.setExitCode(EXIT_NOT_MEASURED);
  } finally {
    for (const signal of signals) process.off(signal, interrupted);
  }
}

function limit(
  options: LoadOptions,
  { name, asked, most }: { readonly name: string; readonly asked: number; readonly most: number },
): void {
  if (asked <= most || options.yesThisIsMine === true) return;
  throw new RunFailure(
    `${name} ${asked} is more than ${most}, which could slow a server down for its users: add --yes-this-is-mine if that is wanted.`,
  );
}

async function ownServer(cli: Cli) {
  const secret = (): string => Buffer.from(cli.random(24)).toString('hex');
  const secrets = { apiKey: secret(), jwtSecret: secret() };
  const server = await startOwnServer(cli, secrets);
  return { target: server.base, ...secrets, stop: () => server.stop() };
}

const TARGET_OPTION = { name: '--target', example: 'https://play.example' } as const;

async function openTarget(cli: Cli, options: LoadOptions): Promise<Opened> {
  const base = baseUrl(options.target, undefined);
  if (base === undefined) throw new RunFailure(badUrl(TARGET_OPTION, options.target));
  const known = configOf(cli, options);
  if (!known.ok) throw new RunFailure(known.error);
  const config = known.value;
  const apiKey = options.apiKey ?? options.key ?? config.apiKeys[0] ?? '';
  if (!/^[\x21-\x7e]+$/.test(apiKey))
    throw new RunFailure(
      'Messages are pushed with the service key: pass the LINGXI_API_KEY of that server as --api-key.',
    );
  const sign = await tokenSigner(cli, config);
  if (sign === undefined)
    throw new RunFailure('Users need tokens: pass the JWT_SECRET of that server as --jwt-secret.');
  const token = (user: number): string => sign({ user });
  return {
    ...{ base, apiKey, service: new ServiceApi({ base, key: apiKey, language: config.language }) },
    target: { url: new URL(webSocketUrl(base)), clock: cli.clock, token },
  };
}

/** The configuration of this folder with the options added: an operator's own machine may have none. */
function configOf(cli: Cli, options: LoadOptions): Result<Config, string> {
  const apiKey = options.apiKey ?? options.key;
  const env = {
    ...cli.env,
    ...(options.jwtSecret === undefined ? {} : { JWT_SECRET: options.jwtSecret }),
    ...(apiKey === undefined ? {} : { LINGXI_API_KEY: apiKey }),
  };
  const loaded = readConfig({ ...cli, env }, {});
  return loaded.ok ? ok(loaded.value.config) : err(loaded.error.message);
}

async function requireHealth(base: string): Promise<void> {
  try {
    const { status } = await fetch(`${base}/healthz`, {
      redirect: 'manual',
      signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
    });
    if (status === 200) return;
    throw new RunFailure(`${base}/healthz answered ${status}: is --target the address of a Lingxi server?`);
  } catch (error) {
    if (error instanceof RunFailure) throw error;
    throw new RunFailure(
      `${base} gives no answer (${networkReason(error)}): start the server, or name another with --target.`,
    );
  }
}

async function readText(url: string, key: string): Promise<string> {
  try {
    const response = await fetch(url, {
      headers: { authorization: `Bearer ${key}` },
      signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
    });
    if (!response.ok)
      throw new RunFailure(`${url} answered ${response.status}: pass the service key as --api-key.`);
    return await response.text();
  } catch (error) {
    if (error instanceof RunFailure) throw error;
    throw new RunFailure(`${url} gives no answer (${networkReason(error)}) during the run.`);
  }
}

/** The runtime raises the soft limit to the hard one. */
function requireDescriptors(connections: number): void {
  let text: string;
  try {
    text = readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return; // On a system without /proc, the connections report it.
  }
  const [, soft] = /^Max open files +\S+ +(\d+)/m.exec(text) ?? [];
  const needed = connections + BESIDE_SOCKETS;
  if (soft === undefined || Number(soft) >= needed) return;
  throw new RunFailure(
    `${connections} connections need ${needed} descriptors, and this system allows ${soft}: raise the limit (ulimit -Hn), or ask for fewer.`,
  );
}

function pickUser(cli: Cli): number {
  return FIRST_PICKED + (Buffer.from(cli.random(4)).readUInt32BE(0) % PICKED_RANGE);
}

function linesOf({ logins, pushes, detection, loadShare, cores }: TargetReport): readonly string[] {
  const lines = [
    `logins         ${logins.done} of ${logins.asked}, ${logins.perSecond.toFixed(0)}/s; one more user logged in before them, alone`,
    `login latency  ${shown(logins.latency)}`,
    `pushes         ${pushes.arrived} of ${pushes.asked} arrived`,
    `push latency   ${shown(pushes.latency)}`,
    ...(detection === undefined
      ? []
      : [
          `detection      ${detection.seen} of ${detection.asked} silent users were closed; after the deadline ${shown(detection.lag)}`,
        ]),
    `the load       used ${Math.round(loadShare * 100)} % of one of ${cores} cores`,
    '',
    ...plot('Logins, from the intended time', logins.latency),
    '',
    ...plot('Pushes, from the intended time to the arrival', pushes.latency),
  ];
  return detection === undefined
    ? lines
    : [...lines, '', ...plot('Detection after the deadline', detection.lag)];
}

function soakLines(report: SoakReport): readonly string[] {
  const { bytesPerMinute, descriptorsBefore, descriptorsAfter, lagFirstMs, lagLastMs, joined } = report;
  return [
    bytesPerMinute === undefined
      ? `memory       no verdict: that needs ${MEMORY_MINUTES} minutes after the warm-up (--minutes ${MINUTES_FOR_MEMORY})`
      : `memory       ${(bytesPerMinute / 1e3).toFixed(1)} KB a minute after the warm-up`,
    `descriptors  beside those of connections: ${descriptorsBefore} at first, ${descriptorsAfter} at the end`,
    `detection    mean lag ${shownMs(lagFirstMs)} in the first third, ${shownMs(lagLastMs)} in the last`,
    `users        ${joined} logged in`,
    ...(report.lag.count === 0 ? [] : ['', ...plot('Detection after the deadline', report.lag), '']),
    ...verdictOf(report),
  ];
}

function shown({ half, p99, max }: Summary): string {
  return `half ${half.toFixed(1)} ms, 99 % ${p99.toFixed(1)} ms, worst ${max.toFixed(1)} ms`;
}

function shownMs(ms: number): string {
  return Number.isNaN(ms) ? 'unknown' : `${ms.toFixed(1)} ms`;
}

function isWhole(report: TargetReport): boolean {
  return gapOf(report) === undefined;
}

/** Why these figures differ from the request. */
function gapOf({ pushes, detection, loadShare }: TargetReport): string | undefined {
  if (pushes.arrived < pushes.asked)
    return `NOT A WHOLE RUN: ${pushes.asked - pushes.arrived} of ${pushes.asked} messages did not arrive.`;
  if (detection !== undefined && detection.seen < detection.asked)
    return `NOT A WHOLE RUN: ${detection.asked - detection.seen} of ${detection.asked} silent users were not closed in time.`;
  if (loadShare >= BUSY_SHARE)
    return `NOT A WHOLE RUN: the load used ${Math.round(loadShare * 100)} % of a core, so it was the limit.`;
  return undefined;
}

/** `loginsPerSecond` in the form of the command line. */
function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
