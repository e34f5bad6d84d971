import type { Config } from '../../config/config.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import { sampleUsers } from '../../settlement/sample-users.ts';
import type { Cli } from '../cli.ts';
import { tokenSigner } from '../token.ts';
import type { Api } from './api.ts';

interface Choice {
  readonly api: Api;
  readonly config: Config;
  readonly serviceKey: string;
  readonly users: readonly [number, number] | undefined;
}

export interface ChosenUsers {
  readonly ids: readonly [number, number];
  readonly tokens: readonly [string, string];
}

/** Chosen ids fit into int4, which a users table may have, and are far above the sequence of a users table. */
const FIRST_PICKED = 2_000_000_000;
const PICKED_RANGE = 147_000_000;
/** Number of rows of a users table to search for two offline users. */
const MAX_SAMPLED = 100;

/** The two test users: the named ones, or in development two unused ones. Neither may be online. */
export async function chooseUsers(cli: Cli, choice: Choice): Promise<Result<ChosenUsers, string>> {
  const { api, users } = choice;
  const isDevelopment = (await devToken(api, 1)) !== undefined;
  if (users === undefined && !isDevelopment) {
    return err(
      'the server is not in development: name two ids that may be logged in and out with --users A,B',
    );
  }
  const ids = users ?? (await pickUnused(cli, choice));
  const status = await api.post('/api/online/status', { bearer: choice.serviceKey, body: { userIds: ids } });
  if (status.status === 401) return err(`the service key was refused (${status.seen}): pass --api-key`);
  const { results } = status.body;
  if (status.status !== 200 || !Array.isArray(results)) return err(`their status is unknown: ${status.seen}`);
  const online = results.filter(({ status: now }) => now === 'online').map(({ userId }) => String(userId));
  if (online.length > 0)
    return err(`${online.join(' and ')} online: only users who are offline are logged in and out`);
  const first = await tokenFor(cli, choice, ids[0]);
  const second = await tokenFor(cli, choice, ids[1]);
  if (first === undefined || second === undefined) {
    return err('no token: JWT_SECRET is not set here, and the server hands none out at /dev/token');
  }
  return ok({ ids, tokens: [first, second] });
}

async function tokenFor(cli: Cli, choice: Choice, id: number): Promise<string | undefined> {
  const given = await devToken(choice.api, id);
  if (given !== undefined) return given;
  const sign = await tokenSigner(cli, choice.config);
  return sign?.({ user: id });
}

async function devToken(api: Api, id: number): Promise<string | undefined> {
  const { status, body } = await api.get(`/dev/token?userId=${id}`);
  return status === 200 && typeof body['token'] === 'string' ? body['token'] : undefined;
}

/** Two offline users of the configured users table if unknown users are refused. Otherwise any ids. */
async function pickUnused(cli: Cli, { api, config, serviceKey }: Choice): Promise<readonly [number, number]> {
  const known =
    config.databaseUrl !== undefined && config.unknownUsers === 'reject'
      ? await sampleUsers(config, MAX_SAMPLED)
      : [];
  const status = await api.post('/api/online/status', { bearer: serviceKey, body: { userIds: known } });
  const results: readonly { status?: unknown }[] = Array.isArray(status.body['results'])
    ? status.body['results']
    : [];
  const [first, second] = known.filter((_, index) => results[index]?.status === 'offline');
  return first === undefined || second === undefined ? pickIds(cli) : [first, second];
}

function pickIds(cli: Cli): readonly [number, number] {
  const random = Buffer.from(cli.random(4)).readUInt32BE(0) % (PICKED_RANGE - 1);
  return [FIRST_PICKED + random, FIRST_PICKED + random + 1];
}
