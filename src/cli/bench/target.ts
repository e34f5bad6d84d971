import { availableParallelism } from 'node:os';
import { sleep } from '../../lib/clock.ts';
import type { Cli } from '../cli.ts';
import type { ServiceApi } from '../service-api.ts';
import { Refused } from './bare-socket.ts';
import { LoadClients, type Logins, RunFailure, type Target } from './load-clients.ts';
import { atPace } from './pace.ts';
import { type Summary, summarize } from './statistics.ts';

/** The load on a user's own server. */
export interface TargetPlan {
  readonly firstUser: number;
  readonly connections: number;
  readonly loginsPerSecond: number;
  readonly pushesPerSecond: number;
  readonly seconds: number;
  readonly detection: boolean;
}

export interface TargetReport {
  readonly logins: Logins;
  readonly pushes: { readonly asked: number; readonly arrived: number; readonly latency: Summary };
  readonly detection: { readonly asked: number; readonly seen: number; readonly lag: Summary } | undefined;
  /** Share of a core that this process used. */
  readonly loadShare: number;
  readonly cores: number;
}

/** Without `--yes-this-is-mine` a run is never larger than this. */
export const LIMITS = { connections: 1_000, loginsPerSecond: 500, pushesPerSecond: 500 } as const;

const ARRIVAL_MS = 5_000;
const MAX_UNANSWERED = 1_000;
const SILENT_USERS = 50;
const SILENCE_SPREAD_MS = 2_000;
const DETECTION_MARGIN_MS = 5_000;
const STEP_MS = 20;

/** Loads a server, and returns the result. Throws a {@link RunFailure} if the result is incomplete. */
export async function loadTarget(
  cli: Cli,
  parts: { readonly target: Target; readonly service: ServiceApi },
  plan: TargetPlan,
): Promise<TargetReport> {
  const clients = new LoadClients(parts.target);
  const cpu = process.cpuUsage();
  const start = cli.clock.monotonic();
  try {
    await firstLogin(clients, plan.firstUser);
    cli.error(
      `Connecting ${plan.connections} users: one has logged in alone, the others follow at ${plan.loginsPerSecond} a second.`,
    );
    const logins = await clients.joinAll(plan.firstUser + 1, plan.connections - 1, plan.loginsPerSecond);
    if (logins.done < logins.asked)
      throw new RunFailure(
        `${logins.done} of ${logins.asked} logins went well; the others: ${shownCounts(logins.refusals)}.`,
      );
    cli.error(`Pushing ${plan.pushesPerSecond} messages a second for ${plan.seconds} s.`);
    const pushes = await push(cli, clients, { ...plan, service: parts.service });
    const detection = plan.detection ? await detect(cli, clients) : undefined;
    const { user, system } = process.cpuUsage(cpu);
    const loadShare = (user + system) / 1000 / (cli.clock.monotonic() - start);
    return { logins, pushes, detection, loadShare, cores: availableParallelism() };
  } finally {
    clients.stop();
  }
}

/** This user connects alone, so that a wrong secret causes one refusal and not a thousand. */
async function firstLogin(clients: LoadClients, userId: number): Promise<void> {
  try {
    await clients.join(userId);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 0) throw new RunFailure(`No WebSocket connection: ${error.code}.`);
    const hint =
      error.status === 401
        ? 'pass the JWT_SECRET of that server as --jwt-secret'
        : 'name ids that may log in with --first-user';
    throw new RunFailure(`The server refused user ${userId} (${error.message}): ${hint}.`);
  }
}

async function push(
  cli: Cli,
  clients: LoadClients,
  plan: TargetPlan & { readonly service: ServiceApi },
): Promise<TargetReport['pushes']> {
  const userIds = clients.userIds();
  let [unanswered, failure] = [0, ''];
  const asked = await atPace(plan.pushesPerSecond, plan.seconds, (intendedAt, index) => {
    clients.check();
    if (failure !== '') throw new RunFailure(failure);
    if (unanswered >= MAX_UNANSWERED)
      throw new RunFailure(`${unanswered} requests wait for an answer: the server does not keep up.`);
    const userId = userIds[index % userIds.length];
    const at = Math.round(intendedAt * 1000);
    unanswered += 1;
    const body = `{"to":{"userId":${userId}},"type":"bench","data":{"at":${at}}}`;
    void plan.service.call({ method: 'POST', path: '/api/messages', body }).then((answer) => {
      unanswered -= 1;
      if (!answer.ok) failure ||= answer.error.sentence;
    });
  });
  const until = cli.clock.monotonic() + ARRIVAL_MS;
  while (clients.arrived.length < asked && cli.clock.monotonic() < until) await sleep(cli.clock, STEP_MS);
  clients.check();
  if (failure !== '') throw new RunFailure(failure);
  return { asked, arrived: clients.arrived.length, latency: summarize(clients.arrived) };
}

/** Some users become silent at random moments. Measures how long after their deadlines the server closes them. */
async function detect(cli: Cli, clients: LoadClients): Promise<TargetReport['detection']> {
  const chosen = clients.userIds().slice(0, SILENT_USERS);
  cli.error(`${chosen.length} users fall silent. Waiting for the heartbeat timeout.`);
  await Promise.all(
    chosen.map(async (userId) => {
      await sleep(cli.clock, Math.random() * SILENCE_SPREAD_MS);
      clients.silence(userId);
    }),
  );
  const until = cli.clock.monotonic() + clients.heartbeatTimeoutMs + DETECTION_MARGIN_MS;
  while (clients.lags.length < chosen.length && cli.clock.monotonic() < until) {
    clients.check();
    await sleep(cli.clock, STEP_MS);
  }
  return { asked: chosen.length, seen: clients.lags.length, lag: summarize(clients.lags) };
}

/** The faults, the most frequent first. */
export function shownCounts(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .sort(([, left], [, right]) => right - left)
    .slice(0, 5)
    .map(([why, count]) => `${count} × ${why}`)
    .join(', ');
}
