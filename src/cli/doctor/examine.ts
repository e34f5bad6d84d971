import type { Config } from '../../config/config.ts';
import type { Cli } from '../cli.ts';
import { pathAdvice, webSocketUrl } from '../server-url.ts';
import { Api } from './api.ts';
import { type Check, FinalMismatch, Mismatch } from './check.ts';
import { deliveryChecks } from './delivery-checks.ts';
import { presenceChecks } from './presence-checks.ts';
import { progressFor } from './progress.ts';
import { refusalChecks } from './refusal-checks.ts';
import { serverChecks } from './server-checks.ts';
import { ServerUnderTest } from './server-under-test.ts';
import { sessionChecks } from './session-checks.ts';
import { timeoutChecks } from './timeout-checks.ts';
import { chooseUsers } from './users.ts';

export interface Examination {
  readonly base: string;
  readonly config: Config;
  readonly serviceKey: string;
  readonly users: readonly [number, number] | undefined;
}

/** Examines a running server. Returns whether every check passed. */
export async function examine(cli: Cli, examination: Examination): Promise<boolean> {
  const api = new Api(examination.base);
  const alive = await api.get('/healthz');
  if (alive.status === 0) {
    cli.out(
      `✗ server: ${examination.base} gives ${alive.seen}: start it with "npm start", or name it with --url`,
    );
    return false;
  }
  const advice = alive.status === 404 ? pathAdvice(examination.base) : undefined;
  if (advice !== undefined) {
    cli.out(`✗ server: ${examination.base} is no Lingxi server (${alive.seen}): ${advice}`);
    return false;
  }
  const chosen = await chooseUsers(cli, { ...examination, api });
  if (!chosen.ok) {
    cli.out(`✗ users: ${chosen.error}`);
    return false;
  }
  const { ids, tokens } = chosen.value;
  const server = new ServerUnderTest({
    api,
    wsUrl: webSocketUrl(examination.base),
    clock: cli.clock,
    progress: await progressFor(cli),
    serviceKey: examination.serviceKey,
    ids: { A: ids[0], B: ids[1] },
    tokens: { A: tokens[0], B: tokens[1] },
  });
  const checks = [
    ...serverChecks,
    ...refusalChecks,
    ...presenceChecks,
    ...deliveryChecks,
    ...sessionChecks,
    ...timeoutChecks,
  ];
  let failures = 0;
  let done = 0;
  for (const check of checks) {
    const outcome = await report(cli, check, server);
    done += 1;
    if (outcome !== 'passed') failures += 1;
    if (outcome === 'hopeless') break;
  }
  await server.cleanUp();
  const left = checks.length - done;
  const rest = left === 0 ? '' : `, ${left} not tried`;
  cli.out(
    failures === 0
      ? `All ${checks.length} checks passed.`
      : `${failures} of ${checks.length} checks failed${rest}.`,
  );
  return failures === 0;
}

async function report(
  cli: Cli,
  check: Check,
  server: ServerUnderTest,
): Promise<'passed' | 'failed' | 'hopeless'> {
  try {
    cli.out(`✓ ${check.name}: ${await check.run(server)}`);
    return 'passed';
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    cli.out(`✗ ${check.name}: ${error.message}`);
    return error instanceof FinalMismatch ? 'hopeless' : 'failed';
  }
}
